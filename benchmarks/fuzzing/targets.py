"""What reads files and requests: loaders, readers and writers, commands, the HTTP service, model folders."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from random import Random

from benchmarks.fuzzing import samples
from benchmarks.fuzzing.cases import Target
from benchmarks.fuzzing.samples import Sample
from benchmarks.fuzzing.service import FuzzedService
from genner.commands import calibrate, predict, prepare, report, share, sweep, train
from genner.config import load_recipe, recipe_yaml
from genner.data.bundle import load_bundle
from genner.data.loaders import LOADERS, LoaderOptions
from genner.data.schema import Segment
from genner.data.splits import SplitRules
from genner.data.tally import Tally
from genner.errors import NerError
from genner.prediction.reading import FORMATS, read_inputs
from genner.prediction.recogniser import load
from genner.prediction.results import TextInput, TextResult
from genner.prediction.text import TextSplitter
from genner.prediction.writing import FORMATS as WRITERS
from genner.prediction.writing import open_output

__all__ = ["make_targets"]

_KINDS = ("flat", "nested", "discontinuous")
_SPLIT = TextSplitter().split


def make_targets(names: Sequence[str], run: Path) -> dict[str, Target]:
    """The targets of some names.

    Args:
        names: of ``loaders``, ``readers``, ``prepare``, ``settings``, ``http`` and ``folders``.
        run: the run folder of a small trained model.
    """
    model = run / "best"
    makers: dict[str, Callable[[], Target]] = {
        "loaders": lambda: Target(list(samples.corpora()), read_corpus),
        "readers": lambda: Target(list(samples.texts()), read_texts),
        "prepare": lambda: Target(list(samples.sources()), prepare_source),
        "settings": lambda: Target(list(samples.settings()), read_settings),
        "http": lambda: Target(list(samples.requests()), FuzzedService(load(model, device="cpu")).answer),
        "folders": lambda: Target([_folder("model", model), _folder("run", run)], open_folder),
    }
    return {name: makers[name]() for name in names}


def read_corpus(folder: Path, kind: str, choose: Random) -> Iterator[str]:
    """Every file by its loader, then the corpus; sometimes by the command."""
    kind = choose.choice(sorted(LOADERS)) if choose.random() < 0.1 else kind
    options = LoaderOptions(
        compat=choose.random() < 0.1,
        max_words=choose.choice((150, 150, 3, None)),
        tag_column=choose.choice((-1, -1, -1, 1, 5)),
        word_column=choose.choice((0, 0, 0, 1, -3)),
    )
    if choose.random() < 0.08:
        yield from _command(
            train.main, "--dataset_name", "mine", "--backbone", "scratch:tiny", "--kind", choose.choice(_KINDS),
            "--data_root", folder, "--check_data", "data.cache=false", f"data.loader={kind}",
        )  # fmt: skip
        return
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with _refusing() as refused:
            LOADERS[kind](path, options)
        yield from refused
    corpus = load_bundle(folder, kind, options, choose.choice((SplitRules(), SplitRules(train_on_dev=True))))
    assert corpus.statistics and corpus.fingerprint


def read_texts(folder: Path, kind: str, choose: Random) -> Iterator[str]:
    """Texts in a format, then their known entities in another one, read back; words by spaCy's rules."""
    name = choose.choice(["auto", *FORMATS]) if choose.random() < 0.2 else kind
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    source = folder if len(paths) != 1 or choose.random() < 0.3 else paths[0]
    inputs = list(read_inputs(source, name, split=_SPLIT, tally=Tally()))
    yield from [given.error for given in inputs if given.error]
    if choose.random() < 0.3:
        wanted = choose.choice(sorted(WRITERS))
        _write(inputs, wanted, folder.with_name(folder.name + "-out"), choose.random() < 0.5)


def prepare_source(folder: Path, kind: str, choose: Random) -> Iterator[str]:
    """``genner prepare`` with the options of the sample, and a few more."""
    name, *options = shlex.split(kind)
    out = folder.with_name(folder.name + "-out")
    more = [["--across", "join"], ["--newline", "joins"], ["--inclusive"], []]
    options += choose.choice([one for one in more if name == "hf" or one != ["--inclusive"]])
    os.environ["HF_DATASETS_CACHE"] = str(folder / "cache")
    yield from _command(prepare.main, name, "--raw", folder, "--out", out, *options)
    _remove(out)


def read_settings(folder: Path, kind: str, choose: Random) -> Iterator[str]:
    """A recipe with settings of the command line, or a sweep."""
    for path in sorted(folder.rglob("*")):
        if path.name == "overrides" or path.is_dir():
            continue
        if kind == "sweep":
            yield from _command(sweep.main, path, "--dry_run", "--runs_dir", folder / "runs")
            continue
        written = folder / "overrides"
        given = written.read_text(encoding="utf-8", errors="surrogateescape") if written.is_file() else ""
        overrides = [line for line in given.split("\n") if line and not line.startswith("-")]
        with _refusing() as refused:
            recipe_yaml(load_recipe(path, overrides[:50]))
        yield from refused


def open_folder(folder: Path, kind: str, choose: Random) -> Iterator[str]:
    """A model folder opened, read with, shared or calibrated; a run folder reported on."""
    out = folder.with_name(folder.name + "-out")
    way = choose.random()
    if kind == "run":
        yield from _command(report.main, folder, "--out", out)
    elif way < 0.1:
        yield from _command(share.main, folder, "--to", out)
    elif way < 0.15:
        text = folder / "texts.jsonl"
        text.write_text('{"text": "Orla slept.", "entities": []}\n' * 3, encoding="utf-8")
        yield from _command(calibrate.main, folder, "--input", text)
    elif way < 0.25:
        yield from _command(predict.main, folder, "--text", "Orla slept.", "--device", "cpu")
    else:
        ner = load(folder, device="cpu")
        yield from [result.error for result in ner(["Orla slept.", "", "(" * 50]) if result.error]
    _remove(out)


def _write(inputs: Iterable[TextInput], name: str, target: Path, is_read_back: bool) -> None:
    """The known entities of texts as results, in a format; the file is read again if there is a reader."""
    writer = WRITERS[name](Tally(), ("PER",))
    with open_output(str(target), writer, io.BytesIO(), resume=False, overwrite=True) as output:
        output.begin({})
        for number, given in enumerate(inputs):
            words, sentences = given.words, given.sentences
            if words is None:
                words, sentences = _SPLIT(given.text)
            if sentences is None:
                sentences = (Segment(0, len(words)),) if words else ()
            name_ = given.id or str(number)
            output.write(
                TextResult(given.text, name_, words, sentences, given.gold or (), (), given.error, gold=given.gold)
            )
        output.commit({})
        output.finish()
    if is_read_back and name in FORMATS:
        list(read_inputs(target, name, split=_SPLIT, tally=Tally()))
    _remove(target)


def _command(main: Callable[[Sequence[str]], int], *arguments: object) -> Iterator[str]:
    """Run a command in this process; yields the error that it prints."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    logging.disable(logging.CRITICAL)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(one) for one in arguments])
    logging.disable(logging.NOTSET)
    text = err.buffer.getvalue().decode("utf-8", "replace")
    if "Traceback" in text:
        raise AssertionError(text)
    if code == 2:
        yield text.partition("error: ")[2].strip()


@contextlib.contextmanager
def _refusing() -> Iterator[list[str]]:
    """Collects the message with which its block is refused."""
    messages: list[str] = []
    try:
        yield messages
    except NerError as error:
        messages.append(str(error))


def _folder(kind: str, folder: Path) -> Sample:
    """A folder as a sample, without what is large or of no interest."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix not in (".png", ".tex")]
    kept = [path for path in paths if kind == "model" or "best" not in path.relative_to(folder).parts]
    return Sample(kind, {path.relative_to(folder).as_posix(): path.read_bytes() for path in kept})


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
