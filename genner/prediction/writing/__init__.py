"""Results into files: one at a time, in formats that say what they cannot hold and count what they leave out."""

from __future__ import annotations

from pathlib import Path

from genner.errors import ConfigError
from genner.prediction.reading.guess import unreadable
from genner.prediction.writing.base import Writer
from genner.prediction.writing.docbin import SpacyDocs
from genner.prediction.writing.outputs import Output, open_output, writable
from genner.prediction.writing.pictures import Drawings, Page
from genner.prediction.writing.text_formats import Brat, Doccano, JsonLines, LabelStudio
from genner.prediction.writing.word_formats import Columns, Documents, Records, W2ner

__all__ = ["FORMATS", "Output", "format_of", "open_output", "writable"]

#: Name on the command line -> its writer.
FORMATS: dict[str, type[Writer]] = {
    "jsonl": JsonLines,
    "conll": Columns,
    "nested": Documents,
    "discontinuous": Records,
    "brat": Brat,
    "docbin": SpacyDocs,
    "doccano": Doccano,
    "label-studio": LabelStudio,
    "w2ner": W2ner,
    "html": Page,
    "terminal": Drawings,
}

_BY_ENDING = {
    **dict.fromkeys((".conll", ".bio", ".iob", ".iob2"), "conll"),
    **dict.fromkeys((".html", ".htm"), "html"),
    ".jsonlines": "nested",
    ".spacy": "docbin",
}


def format_of(path: Path) -> str:
    """The format that the ending of a file says; ``jsonl`` if it says none.

    >>> format_of(Path("found.html")), format_of(Path("found"))
    ('html', 'jsonl')

    Raises:
        ConfigError: the ending is that of files of another kind.
    """
    ending = path.suffix.lower()
    if ending in (".csv", ".tsv") or (ending not in _BY_ENDING and unreadable(path)):
        raise ConfigError(
            f"--output: {path} would not be what {ending} says. Expected {' '.join(_BY_ENDING)}, or .jsonl and others "
            "for jsonl. Choose another ending, or the format with --to."
        )
    return _BY_ENDING.get(path.suffix.lower(), "jsonl")
