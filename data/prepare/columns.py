"""CoNLL-2003 and OntoNotes (CoNLL-2012): column files, converted to a common layout."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from genner.data.folders import files_below
from genner.data.loaders import LOADERS, LoaderOptions
from genner.data.loaders.conll import DOCSTART
from genner.data.loaders.reading import read_lines, split_fields
from genner.data.prepare.request import SPLITS, Request
from genner.data.schema import Example
from genner.data.splits import find_split_files
from genner.data.tally import Tally
from genner.errors import DataFormatError

__all__ = ["conll2003", "ontonotes"]

_N_COLUMNS = 4  # word, part of speech, chunk, entity
_ONTONOTES = re.compile(r"\.(?:v\d+_)?(?:gold_conll|conll)$")
_SKELETON = "[WORD]"
_PIVOT_TEXT = re.compile(r"(?:^|/)pt/")
_PARTS = {"train": "train", "development": "dev", "dev": "dev", "test": "test", "conll-2012-test": "conll-2012-test"}


def conll2003(request: Request, tally: Tally) -> dict[str, list[Example]]:
    """``eng.train``, ``eng.testa`` and ``eng.testb``: four columns, IOB1, ``-DOCSTART-`` between documents.

    IOB2 in the last column is accepted as well.

    Raises:
        DataFormatError: a file is missing or has other columns.
    """
    splits = {}
    for split, path in request.progress(find_split_files(request.raw, "conll", option="--raw").items(), "files"):
        _check_columns(path)
        splits[split], report = LOADERS["conll"](path, LoaderOptions(is_training=False))
        tally.merge(report)
    return splits


def ontonotes(request: Request, tally: Tally) -> dict[str, list[Example]]:
    """The ``*_gold_conll`` or ``*.conll`` files of CoNLL-2012 in folders ``train``, ``development`` and ``test``.

    The New Testament (``pt``), which has no names annotated, is left out, as in the published preprocessing. If a tree
    has several languages, only English is read. In the v12 release the official test is called
    ``conll-2012-test``; it wins over ``test``.

    Raises:
        DataFormatError: no files for a split, or files whose words are not filled in.
    """
    splits: dict[str, list[Example]] = {}
    found = _split_files(request.raw, tally)
    for split, paths in found.items():
        splits[split] = []
        n_documents = 0
        for path in request.progress(paths, f"{split} files"):
            if not request.new_testament and _is_pivot_text(path, request.raw):
                tally.add("document of the New Testament, left out", path.name)
                continue
            examples, report = LOADERS["ontonotes"](path, LoaderOptions(is_training=False))
            if examples and examples[0].words[0] == _SKELETON:
                raise DataFormatError(
                    f"{path}: the words are not filled in ({_SKELETON}). Expected words in the 4th column. Run the "
                    "distributor's skeleton2conll.sh with your copy of LDC2013T19 first."
                )
            tally.merge(report)
            splits[split] += [replace(row, document=(row.document or 0) + n_documents) for row in examples]
            n_documents += 1 + max((row.document or 0 for row in examples), default=0)
    return splits


def _check_columns(path: Path) -> None:
    for number, line in enumerate(read_lines(path), 1):
        fields = split_fields(line)
        if fields and fields[0] != DOCSTART:
            if len(fields) != _N_COLUMNS:
                raise DataFormatError(
                    f"{path}:{number}: {len(fields)} columns in {line[:40]!r}. Expected {_N_COLUMNS}: word, part of "
                    "speech, chunk, entity, as in the original release. Files of two columns need no preparation: see "
                    "docs/own_data.md."
                )
            return


def _split_files(root: Path, tally: Tally) -> dict[str, list[Path]]:
    if not root.is_dir():
        raise DataFormatError(f"{root}: no such folder. Expected the conll-formatted files. Set --raw.")
    found: dict[str, list[Path]] = {}
    for path in files_below(root, tally):
        if not _ONTONOTES.search(path.name):
            continue
        folders = path.relative_to(root).parts[:-1] or (path.name.split(".")[0],)
        if {"arabic", "chinese"} & set(folders):
            tally.add("file of another language, left out", path.name)
            continue
        split = next((_PARTS[part] for part in folders if part in _PARTS), None)
        if split is None:
            tally.add("file that is in no split folder, left out", path.name)
            continue
        found.setdefault(split, []).append(path)
    official = found.pop("conll-2012-test", None)
    if official is not None:
        for path in found.get("test", []):
            tally.add("file of 'test' beside the official 'conll-2012-test', left out", path.name)
        found["test"] = official
    missing = [split for split in SPLITS if split not in found]
    if missing:
        raise DataFormatError(
            f"{root}: no *_gold_conll or *.conll file for {' and '.join(missing)}. Expected folders train, development "
            "and test somewhere below it, as the CoNLL-2012 release has them. Set --raw."
        )
    return {split: found[split] for split in SPLITS}


def _is_pivot_text(path: Path, root: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        document = file.readline().partition("(")[2]
    return any(map(_PIVOT_TEXT.search, (str(path.relative_to(root)), document)))
