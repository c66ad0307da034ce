"""One loader per file format. Each reads a file into examples and reports what it changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from genner.data import shapes  # the module, as it imports loaders in its turn
from genner.data.loaders import conll, discontinuous, nested_jsonl, ontonotes
from genner.data.loaders.reading import LoaderOptions, LoadReport
from genner.data.schema import Example

__all__ = ["LOADERS", "LoadReport", "LoaderOptions"]

LOADERS: dict[str, Callable[[Path, LoaderOptions], tuple[list[Example], LoadReport]]] = {
    "conll": conll.load,
    "ontonotes": ontonotes.load,
    "nested": nested_jsonl.load,
    "discontinuous": discontinuous.load,
    "json": lambda path, options: shapes.load(path, options),
}
