"""Serve a trained model as a web page and an HTTP service.

genner serve runs/demo/model/best                   the page at http://127.0.0.1:7860, the service at /predict
genner serve MODEL --port 8000 --no_page            only the service
genner serve MODEL --examples sentences.txt         your own examples on the page, one per line
genner serve MODEL --root_path /ner --allowed_hosts ner.example.org    behind a proxy at https://ner.example.org/ner/
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from genner.commands.common import add_reading_options, command_main, command_parser, open_model

if TYPE_CHECKING:
    import socket

    from genner.serving.access import Access
    from genner.serving.limits import Limits


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("serve", __doc__, run)
    parser.add_argument("model", metavar="MODEL", help="model folder, such as 'best' of a run, or a hub id")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default 127.0.0.1: this machine only)")
    parser.add_argument("--port", type=int, default=7860, help="0 for any free port (default 7860)")
    parser.add_argument("--no_page", action="store_true", help="only the HTTP service")
    parser.add_argument("--examples", type=Path, metavar="FILE", help="example texts for the page, one per line, UTF-8")
    parser.add_argument(
        "--min_score", type=float, help="initial value of the page's slider (default: what was best on dev)"
    )
    access = parser.add_argument_group("access")
    access.add_argument("--root_path", default="", metavar="PATH", help="the path below which a proxy shows the server")
    access.add_argument(
        "--cors", nargs="+", action="extend", default=[], metavar="ORIGIN",
        help="pages of other servers that may ask from browsers, such as https://example.org; * for any (default none)",
    )
    access.add_argument(
        "--allowed_hosts", nargs="+", action="extend", metavar="HOST",
        help="names in the header Host; * for any (default: this machine's own on a loopback --host, else any)",
    )  # fmt: skip
    limits = parser.add_argument_group("limits")
    limits.add_argument("--max_chars", type=int, default=20_000, help="characters in a text (default 20000)")
    limits.add_argument("--max_texts", type=int, default=64, help="texts in a request (default 64)")
    limits.add_argument(
        "--max_words", type=int, default=50_000, help="words in a request, once its texts are split (default 50000)"
    )
    limits.add_argument("--max_body", type=int, default=2 * 2**20, help="bytes in a request (default 2 MiB)")
    limits.add_argument("--max_waiting", type=int, default=512, help="texts in the queue (default 512)")
    limits.add_argument("--timeout", type=float, default=60.0, help="seconds until a request times out (default 60)")
    add_reading_options(parser)
    options = parser.parse_intermixed_args(argv)
    if not 0 <= options.port <= 65535:
        parser.error(f"argument --port: {options.port}: expected a number from 0 to 65535")
    if options.min_score is not None and not 0 <= options.min_score <= 1:
        parser.error(f"argument --min_score: {options.min_score:g}: expected a number from 0 to 1")
    if options.examples and options.no_page:
        parser.error("argument --examples: there is no page with --no_page")
    return options


def run(options: argparse.Namespace) -> int:
    """Serve until the process is asked to stop."""
    from genner.serving.access import Access
    from genner.serving.examples import read_examples
    from genner.serving.limits import Limits
    from genner.serving.server import bind

    sizes = ("max_chars", "max_texts", "max_words", "max_body", "max_waiting", "timeout")
    limits = Limits(**{name: getattr(options, name) for name in sizes})
    examples = None if options.examples is None else read_examples(options.examples, limits.max_chars)
    with bind(options.host, options.port) as listening:
        given = {"origins": options.cors, "hosts": options.allowed_hosts}
        access = Access.of(listening.getsockname()[0], root_path=options.root_path, **given)
        asyncio.run(_serve(options, limits, access, examples, listening))
    return 0


async def _serve(
    options: argparse.Namespace,
    limits: Limits,
    access: Access,
    examples: Sequence[str] | None,
    listening: socket.socket,
) -> None:
    from genner.serving.api import build_api
    from genner.serving.server import serve
    from genner.serving.service import Service

    # Loading takes seconds, during which the server says so. The page's slider and requests have their own min_score.
    service = Service(lambda: open_model(options, min_score=0.0), _name(options.model), limits)
    app = build_api(service, access)
    if not options.no_page:
        from genner.serving.page import add_page

        add_page(app, service, examples, min_score=options.min_score)
    host, port = listening.getsockname()[:2]
    where = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    await serve(service, app, listening, on_ready=lambda: print(f"{service.name} is served at {where}", flush=True))
    print("stopped")


def _name(model: str) -> str:
    """The name of a model for users: dataset and run, its folder, or its hub id."""
    if not Path(model).is_dir():
        return model
    *_, dataset, run, last = ("", "", *Path(model).absolute().parts)
    return f"{dataset}/{run}" if last == "best" else last


main = partial(command_main, parse)
