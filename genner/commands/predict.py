"""Find the entities in your own text with a trained model: texts or files in, entities out, in a format you choose.

genner predict runs/demo/model/best --text "I woke up with pain in the left knee."
genner predict runs/demo/model/best --input letters --output found.jsonl
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genner.cli import say
from genner.commands.common import (
    add_reading_options,
    command_main,
    command_parser,
    open_model,
    positive,
    text_splitter,
)
from genner.commands.progress import Progress, count_texts
from genner.data.records import check_text
from genner.data.tally import Tally
from genner.errors import ConfigError, DataFormatError
from genner.prediction.options import PredictOptions
from genner.prediction.reading import FORMATS as INPUT_FORMATS
from genner.prediction.reading import read_inputs
from genner.prediction.results import TextInput
from genner.prediction.summary import Summary
from genner.prediction.writing import FORMATS, Output, format_of, open_output, writable

if TYPE_CHECKING:
    from genner.prediction.recogniser import Recogniser

__all__ = ["main", "parse"]

_CHUNK_WORDS = 20_000
_CHARS_PER_WORD = 5
_DENSEST = 2 * _CHARS_PER_WORD  # a chunk is read as a whole even if every character is a word
_STDOUT = "-"

_EPILOG = """\
exit codes: 0 done; 1 some texts failed, the others are written; 2 usage or data error, nothing more is written;
130 interrupted (Ctrl-C). docs/formats.md describes all formats.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; what is left out of how texts are read is None."""
    parser = command_parser("predict", __doc__, _run)
    parser.epilog = _EPILOG
    parser.add_argument("model", metavar="MODEL", help="model folder, such as 'best' of a run, or a name on the hub")
    where = parser.add_argument_group("texts and results")
    where.add_argument("--text", action="append", metavar="TEXT", help="a text; may be repeated")
    where.add_argument("--input", metavar="PATH", help="file, folder, or - for standard input")
    where.add_argument("--output", metavar="PATH", default=_STDOUT, help="file or folder (default: standard output)")
    where.add_argument(
        "--format", choices=("auto", *INPUT_FORMATS), default="auto", help="of the input (default: by file ending)"
    )
    where.add_argument("--to", choices=tuple(FORMATS), help="of the output (default: by file ending, else jsonl)")
    where.add_argument("--resume", action="store_true", help="continue a run that was stopped")
    where.add_argument("--overwrite", action="store_true", help="replace an existing output")
    how = add_reading_options(parser)
    how.add_argument("--min_score", type=float, metavar="P", help="leave out entities below it")
    how.add_argument("--max_chars", type=int, metavar="N", help="longer texts fail")
    how.add_argument(
        "--chunk_words", type=positive, default=_CHUNK_WORDS, metavar="N",
        help=f"words that are read together, then written and saved (default about {_CHUNK_WORDS:,})",
    )  # fmt: skip
    options = parser.parse_intermixed_args(argv)
    if (options.text is None) == (options.input is None):
        parser.error("expected either --text or --input")
    if options.output == _STDOUT and (options.resume or options.overwrite):
        parser.error("argument --resume/--overwrite: expected a file or folder as --output")
    if options.output != _STDOUT:
        options.interrupted += f"; finished texts are kept beside {options.output}: add --resume to continue"
    return options


def _run(options: argparse.Namespace) -> int:
    format_name = options.to or _usual_format(options)
    writer = FORMATS[format_name](Tally())
    if writer.is_binary and options.output == _STDOUT and sys.stdout.isatty():
        raise ConfigError(f"--to: {format_name} is not text. Expected a file for it. Set --output.")
    _check_apart(options)
    summary, read = Summary(writer.tally), Tally()
    with open_output(
        options.output, writer, sys.stdout.buffer, resume=options.resume, overwrite=options.overwrite
    ) as output:
        if output.is_complete:
            say(
                f"{options.output} is there and no run of it was stopped: nothing is left to do. Set --overwrite to "
                "write it anew."
            )
            return 0
        inputs = _inputs(options, read)
        n_texts = len(options.text) if options.text is not None else count_texts(options.input, options.format)
        ner = open_model(options, chunk_words=options.chunk_words * _DENSEST)
        writer.labels = ner.labels
        with writable(options.output):
            done = output.begin(_settings(options, ner, format_name))
        if done:
            summary.restore(done["summary"])
        if not output.is_complete:
            run = _Run(options, ner, output, summary)
            run.skip(inputs, done)
            run.read(inputs, n_texts)
    lines = summary.lines(read, format_name)
    if options.text is not None:
        lines = lines[1:]  # the user sees how many there are
    elif options.output != _STDOUT:
        lines.append(f"-> {options.output}")
    if lines:
        say("\n".join(lines))
    return 1 if summary.n_failed else 0


def _check_apart(options: argparse.Namespace) -> None:
    """The output must not be the input, and neither may contain the other."""
    if options.input is None or _STDOUT in (options.input, options.output):
        return
    source, target = Path(options.input).resolve(), Path(options.output).resolve()
    if source == target or (source.is_dir() and source in target.parents) or target in source.parents:
        raise ConfigError(
            f"--output: {options.output} and --input {options.input} overlap. Expected another place for "
            "the output, so that it does not replace the input and is not read itself. Change --output."
        )


def _usual_format(options: argparse.Namespace) -> str:
    if options.output != _STDOUT:
        return format_of(Path(options.output))
    return "terminal" if options.text is not None and sys.stdout.isatty() else "jsonl"


def _inputs(options: argparse.Namespace, read: Tally) -> Iterator[TextInput]:
    if options.text is None:
        max_chars = PredictOptions.max_chars if options.max_chars is None else options.max_chars
        return read_inputs(options.input, options.format, split=text_splitter(options), tally=read, max_chars=max_chars)
    for number, text in enumerate(options.text, 1):
        try:
            check_text(text, f"--text {number}")
        except DataFormatError:  # as bytes that are not UTF-8 come from a shell
            raise ConfigError(f"--text: {text!r:.60} is not UTF-8. Expected text in UTF-8. Set your locale.") from None
    return iter([TextInput(text, str(number)) for number, text in enumerate(options.text, 1)])


def _settings(options: argparse.Namespace, ner: Recogniser, format_name: str) -> dict[str, Any]:
    """Everything but the texts that the output depends on."""
    files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(ner.folder.iterdir())]
    state = blake2b(repr(files).encode(), digest_size=8).hexdigest()
    model = {"model": str(ner.folder.resolve()), "state of the model": state}
    source = {"input": options.input, "text": options.text, "format": options.format, "to": format_name}
    return {**model, **source, **asdict(ner.options), **ner.choices}


class _Run:
    """Reads inputs in chunks; after each, everything so far is saved.

    Chunks depend only on the inputs. So a resumed run gives the model the same batches as one that was never stopped,
    and both write the same bytes.
    """

    def __init__(self, options: argparse.Namespace, ner: Recogniser, output: Output, summary: Summary) -> None:
        self._options, self._ner, self._output, self._summary = options, ner, output, summary
        self._n_inputs, self._digest = 0, ""

    def skip(self, inputs: Iterator[TextInput], done: dict[str, Any]) -> None:
        """Pass over the inputs that are finished.

        Raises:
            ConfigError: they are not what they were.
        """
        n_finished = done.get("n_inputs", 0)
        while self._n_inputs < n_finished and (given := next(inputs, None)) is not None:
            self._take(given)
            self._output.writer.skipped(given.id)
        if done and (self._n_inputs, self._digest) != (n_finished, done["digest"]):
            raise ConfigError(
                f"{self._options.input}: not the {n_finished:,} texts that the run started with. Expected an input "
                "that has not changed. Set --overwrite without --resume to start again."
            )

    def read(self, inputs: Iterable[TextInput], n_texts: int | None) -> None:
        """Read all that is left, and complete the output; ``n_texts`` is how many there are, if that is known."""
        target = self._options.output
        with Progress(n_texts, self._n_inputs, is_silent=self._options.text is not None) as progress:
            for chunk in _chunks(inputs, self._options.chunk_words):
                for given in chunk:
                    self._take(given)
                progress.begin()
                results = list(self._ner.stream(chunk, progress=progress.at))
                if target == _STDOUT:
                    progress.hide()
                with writable(target):
                    for result in results:
                        self._output.write(result)
                        self._summary.add(result)
                    done = {"n_inputs": self._n_inputs, "digest": self._digest, "summary": self._summary.state()}
                    self._output.commit(done)
        with writable(target):
            self._output.finish()

    def _take(self, given: TextInput) -> None:
        values = (self._digest, given.id, given.text, given.words, given.sentences, given.gold, given.error)
        self._digest = blake2b(repr(values).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        self._n_inputs += 1


def _chunks(inputs: Iterable[TextInput], n_words: int) -> Iterator[list[TextInput]]:
    """The inputs in lists of about ``n_words`` words."""
    chunk: list[TextInput] = []
    size = 0
    for given in inputs:
        chunk.append(given)
        size += 1 + (len(given.text) // _CHARS_PER_WORD if given.words is None else len(given.words))
        if size >= n_words:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


main = partial(command_main, parse)
