"""Texts out of files, one at a time: which files, in which format, under which ids.

What cannot be read becomes an input with an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from genner.data.folders import walk
from genner.data.tally import Tally
from genner.errors import ConfigError, DataFormatError
from genner.prediction.names import BRAT_FILES, read_names
from genner.prediction.reading.documents import read_docs, read_documents, read_records
from genner.prediction.reading.files import InputFile, Reading
from genner.prediction.reading.guess import check_plain, seems_json, unreadable
from genner.prediction.reading.labelled import read_brat, read_columns, read_triples
from genner.prediction.reading.plain import read_lines, read_table, read_text
from genner.prediction.results import TextInput
from genner.prediction.text import SplitText

__all__ = ["FORMATS", "read_inputs"]

STDIN = "-"
AUTO = "auto"
_CHECK = "Check its permissions and the disk."


@dataclass(frozen=True)
class InputFormat:
    """A format that can be read.

    Attributes:
        read: yields the inputs of a file.
        endings: of the files that are read from a folder.
        help: what an input is.
    """

    read: Callable[[InputFile, Reading], Iterator[TextInput]]
    endings: tuple[str, ...]
    help: str


_JSON = (".jsonl", ".ndjson", ".json")
_COLUMNS = (".conll", ".bio", ".iob", ".iob2")

#: Name on the command line -> format.
FORMATS: dict[str, InputFormat] = {
    "lines": InputFormat(read_lines, (".txt", ".text"), "plain text, a document per line"),
    "text": InputFormat(read_text, (".txt", ".text"), "plain text, a document per file"),
    "csv": InputFormat(read_table, (".csv", ".tsv"), 'a table with a column "text"'),
    "jsonl": InputFormat(read_records, (*_JSON, ".jsonlines"), "JSON records: ours, or those of annotation tools"),
    "conll": InputFormat(read_columns, (*_COLUMNS, ".txt", ".tsv"), "words and BIO tags in columns"),
    "nested": InputFormat(read_documents, (".jsonlines", *_JSON), 'JSON documents with "sentences" and "ners"'),
    "discontinuous": InputFormat(read_triples, (".txt",), "three lines per sentence"),
    "brat": InputFormat(read_brat, (".txt",), ".txt files with .ann files beside them"),
    "docbin": InputFormat(read_docs, (".spacy",), "documents of spaCy (DocBin)"),
}

_BY_ENDING = {
    **dict.fromkeys((".txt", ".text"), "text"),
    **dict.fromkeys((".csv", ".tsv"), "csv"),
    **dict.fromkeys(_JSON, "jsonl"),
    **dict.fromkeys(_COLUMNS, "conll"),
    ".jsonlines": "nested",
    ".spacy": "docbin",
}


def read_inputs(
    source: str | Path,
    format_name: str = AUTO,
    *,
    split: Callable[[str], SplitText] | None = None,
    tally: Tally | None = None,
    max_chars: int | None = None,
) -> Iterator[TextInput]:
    """The texts of a file, of all files below a folder, or of standard input, one by one and in a fixed order.

    A line, record or file that cannot be read becomes an input with an ``error``; the others follow. ``auto`` goes by
    the file ending: ``.jsonl .ndjson .json`` jsonl; ``.jsonlines`` nested; ``.csv .tsv`` csv; ``.spacy`` docbin;
    ``.conll .bio .iob .iob2`` conll; ``.txt .text`` brat if an ``.ann`` of the same name lies beside it, else a
    document per file in a folder and a document per line if it is the source itself. Files of other endings and
    standard input are read by line, or as jsonl if they begin with JSON; what is clearly no plain text is refused.

    Args:
        source: a file or a folder; ``-`` is standard input.
        format_name: a key of :data:`FORMATS`, or ``auto``.
        split: finds words and sentences, so that annotations on characters can be placed on words; by default spaCy's
            rules for English.
        tally: counts what was repaired or left out.
        max_chars: longer texts will be refused, so that their annotations need no words.

    Raises:
        DataFormatError: there is no such file or folder; while iterating: the folder has no file to read.
        ConfigError: an unknown format, or one that standard input does not support.
    """
    if format_name not in (AUTO, *FORMATS):
        known = ", ".join([AUTO, *FORMATS])
        raise ConfigError(f"format: unknown {format_name!r}. Expected one of {known}. Choose one.")
    reading = Reading(split, Tally() if tally is None else tally, max_chars)
    if str(source) == STDIN:
        if format_name == "brat":
            raise ConfigError("format: brat is several files. Expected a folder or a .txt file. Set --input to one.")
        return _inputs_of(InputFile(None, "stdin"), None if format_name == AUTO else format_name, reading)
    path = Path(source)
    if not path.exists():
        raise DataFormatError(f"{path}: no such file or folder. Expected one, or - for standard input. Set --input.")
    if path.is_dir():
        return _inputs_below(path, format_name, reading)
    name = _format_of(path, None) if format_name == AUTO else format_name
    if name is None and (problem := unreadable(path)):
        raise DataFormatError(problem)
    return _inputs_of(InputFile(path, path.stem), name, reading)


def _inputs_of(file: InputFile, name: str | None, reading: Reading) -> Iterator[TextInput]:
    """The inputs of a file; an error of the file as a whole is the last one.

    Args:
        file: what is read.
        name: of its format; None: what its first bytes look like.
        reading: shared by all files.
    """
    try:
        yield from FORMATS[name or _guessed(file, reading)].read(file, reading)
    except DataFormatError as error:
        yield file.failed(error)
    except OSError as error:
        yield file.failed(f"{file.name}: cannot be read ({error.strerror}). Expected a readable file. {_CHECK}")


def _guessed(file: InputFile, reading: Reading) -> str:
    """The format of lines of text or of JSON; what is neither is an error."""
    start = file.start()
    if seems_json(start):
        reading.tally.add("file that begins with JSON, read as jsonl", file.name)
        return "jsonl"
    check_plain(start, file.name)
    if file.path is not None and file.path.suffix.lower() not in _BY_ENDING:
        reading.tally.add("file with an unknown ending, read by line", file.name)
    return "lines"


def _inputs_below(folder: Path, format_name: str, reading: Reading) -> Iterator[TextInput]:
    is_empty = True
    refused: list[OSError] = []
    ids = read_names(folder, reading.tally)
    for where, names in walk(folder, reading.tally, refused.append):
        formats = _formats_in(where, names, format_name, reading.tally)
        stems = Counter(path.stem for path in formats)
        for path, name in formats.items():
            is_empty = False
            relative = path.relative_to(folder)
            unique = relative if stems[path.stem] > 1 else relative.with_suffix("")
            known = ids.get(relative.with_suffix("").as_posix()) if name == "brat" else None
            yield from _inputs_of(InputFile(path, known or unique.as_posix()), name, reading)
        for error in refused:
            is_empty = False
            path = Path(error.filename)
            lost = InputFile(path, path.relative_to(folder).as_posix())
            yield lost.failed(f"{path}: cannot be read ({error.strerror}). Expected a readable folder. {_CHECK}")
        refused.clear()
    if is_empty:
        endings = sorted(_BY_ENDING) if format_name == AUTO else FORMATS[format_name].endings
        raise DataFormatError(
            f"{folder}: no file to read. Expected files that end in {' '.join(endings)}. Set --input or --format."
        )


def _formats_in(where: Path, names: list[str], format_name: str, tally: Tally) -> dict[Path, str]:
    """The files of one folder that are read, with their formats."""
    found = {}
    for path in map(where.joinpath, names):
        if path.name in BRAT_FILES:
            continue
        if path.suffix == ".ann":
            if not path.with_suffix(".txt").is_file():
                tally.add("annotation file without a text, left out", path.name)
        elif not path.is_file() and path.exists():
            tally.add("neither file nor folder, left out", path.name)
        elif format_name != AUTO:
            if path.suffix.lower() in FORMATS[format_name].endings:
                found[path] = format_name
            else:
                tally.add(f"file without an ending of {format_name}, left out", path.name)
        elif name := _format_of(path, "text"):
            found[path] = name
        else:
            tally.add("file with an unknown ending, left out", path.name)
    return found


def _format_of(path: Path, plain: str | None) -> str | None:
    """By the ending of a file: plain text is ``plain``, or brat; None if the ending says nothing."""
    name = _BY_ENDING.get(path.suffix.lower())
    if name != "text":
        return name
    return "brat" if path.with_suffix(".ann").is_file() else plain
