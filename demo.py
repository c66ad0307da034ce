"""A web page and an HTTP service for a trained model.

python demo.py runs/demo/.../best                   the page at http://127.0.0.1:7860, the service at /predict
python demo.py MODEL --port 8000 --no_page          the service alone
python demo.py MODEL --examples sentences.txt       a page with your own examples, one in a line
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from errors import exit_code

if TYPE_CHECKING:
    import socket

    from serving.limits import Limits
    from serving.service import TextReader

_READING = ("language", "words", "passage", "overlap", "batch_size", "num_beams", "device", "form")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", help="a model folder, such as 'best' of a finished run")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default 127.0.0.1: this machine only)")
    parser.add_argument("--port", type=int, default=7860, help="0: any that is free (default 7860)")
    parser.add_argument("--no_page", action="store_true", help="the HTTP service alone")
    parser.add_argument("--examples", type=Path, metavar="FILE", help="texts to try on the page, one in a line, UTF-8")
    parser.add_argument("--min_score", type=float, default=0.0, help="where the page's slider begins (default 0)")
    limits = parser.add_argument_group("limits")
    limits.add_argument("--max_chars", type=int, default=20_000, help="of a text (default 20000)")
    limits.add_argument("--max_texts", type=int, default=64, help="of a request (default 64)")
    limits.add_argument("--max_body", type=int, default=2 * 2**20, help="bytes of a request (default 2 MiB)")
    limits.add_argument("--max_waiting", type=int, default=512, help="texts that wait, of all requests (default 512)")
    limits.add_argument("--timeout", type=float, default=60.0, help="seconds for a request (default 60)")
    reading = parser.add_argument_group("reading")
    reading.add_argument("--language", help="code of spaCy's rules for words and sentences (default en)")
    reading.add_argument("--words", choices=["spacy", "plain", "blanks"], help="how words are found")
    reading.add_argument("--passage", choices=["sentence", "document"], help="what the model reads at once")
    reading.add_argument("--overlap", type=int, help="words that windows of a passage share")
    reading.add_argument("--batch_size", type=int, help="passages decoded at once (default 64)")
    reading.add_argument("--num_beams", type=int, help="of the search (default as in training)")
    reading.add_argument("--device", help="cpu, cuda, ... (default: a GPU if there is one)")
    reading.add_argument("--form", help="of the weights on a CPU, such as packed or int8")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(argv)
    if not 0 <= options.port <= 65535:
        parser.error(f"argument --port: {options.port}: expected a number from 0 to 65535")
    if not 0 <= options.min_score <= 1:
        parser.error(f"argument --min_score: {options.min_score:g}: expected a number from 0 to 1")
    if options.examples and options.no_page:
        parser.error("argument --examples: there is no page with --no_page")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code: 0 stopped, 2 usage or data error, 130 interrupted."""
    options = parse(sys.argv[1:] if argv is None else list(argv))
    return exit_code(lambda: _run(options), debug=options.debug, interrupted="interrupted")


def _run(options: argparse.Namespace) -> int:
    from serving.examples import read_examples
    from serving.limits import Limits
    from serving.server import bind

    sizes = ("max_chars", "max_texts", "max_body", "max_waiting", "timeout")
    limits = Limits(**{name: getattr(options, name) for name in sizes})
    examples = None if options.examples is None else read_examples(options.examples, limits.max_chars)
    with bind(options.host, options.port) as listening, TemporaryDirectory(prefix="genner-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # uploaded files vanish with the server
        asyncio.run(_serve(options, limits, examples, listening))
    return 0


async def _serve(
    options: argparse.Namespace, limits: Limits, examples: Sequence[str] | None, listening: socket.socket
) -> None:
    from serving.api import build_api
    from serving.server import serve
    from serving.service import Service

    folder = Path(options.model)
    service = Service(lambda: _open(options), _name(folder), limits)
    app = build_api(service)
    if not options.no_page:
        from serving.page import add_page

        add_page(app, service, examples, min_score=options.min_score)
    host, port = listening.getsockname()[:2]
    where = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    await serve(service, app, listening, on_ready=lambda: print(f"{service.name} is served at {where}", flush=True))
    print("stopped")


def _open(options: argparse.Namespace) -> TextReader:
    """Load the model; takes seconds, in which the server says so to those who ask."""
    from prediction.recogniser import load

    chosen = {name: getattr(options, name) for name in _READING if getattr(options, name) is not None}
    return load(options.model, max_chars=options.max_chars, **chosen)


def _name(folder: Path) -> str:
    """What people call a model: data set and run, or its folder."""
    *_, dataset, run, last = ("", "", *folder.absolute().parts)
    return f"{dataset}/{run}" if last == "best" else last


if __name__ == "__main__":
    raise SystemExit(main())
