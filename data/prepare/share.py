"""ShARe/CLEF 2013 task 1 and 2014 task 2: clinical notes with pipe-delimited disorders, some discontinuous.

2013: ``note.txt||Disease_Disorder||C0000000||12||17||30||36``; 2014: ``note.txt|12-17,30-36|C0000000|...``. All of
them get the label ``Disorder``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from genner.data.prepare.request import Request
from genner.data.prepare.splitting import assign, part_of, plain_name, read_lists
from genner.data.schema import Example
from genner.data.tally import Tally
from genner.data.text import Mention, build_examples, sentence_words
from genner.data.utf8 import read_raw
from genner.errors import DataFormatError

__all__ = ["share"]

_LABEL = "Disorder"
_OLD = re.compile(r"(?P<note>[^|]+)\|\|(?P<kind>[^|]*)\|\|(?P<cui>[^|]*)(?P<offsets>(?:\|\|\d+\|\|\d+)+)(?:\|\|)?")
_NEW = re.compile(r"(?P<note>[^|]+)\|(?P<offsets>\d+-\d+(?:,\d+-\d+)*)\|.*")
_NUMBER = re.compile(r"\d+")
_DEV_EVERY = 10  # of the training notes, without a list for dev


def share(request: Request, tally: Tally) -> dict[str, list[Example]]:
    """Notes (``.txt``) and annotations (names with ``.pipe``) anywhere below folders named train and test.

    The distributor has no dev part: lists name its notes, or every tenth training note is taken.

    Raises:
        DataFormatError: there are no notes or annotations, a note is annotated in several folders, a line is malformed.
    """
    notes, parts = _notes(request.raw, tally)
    mentions = _annotations(request.raw, tally)
    for name in sorted(mentions.keys() - notes.keys()):
        tally.add("annotated note without a text, left out", name, len(mentions[name]))
    if not mentions.keys() & notes.keys():
        raise DataFormatError(
            f"{request.raw}: {len(notes)} notes, {len(mentions)} annotated notes, none in both. Expected .txt notes "
            "and pipe-delimited annotations (.pipe, .pipe.txt) of the same names. Set --raw."
        )
    lists = read_lists(request.splits) if request.splits else _tenth(parts, tally)
    result: dict[str, list[Example]] = {}
    for split, names in assign(parts, lists, tally, request.raw).items():
        result[split] = []
        for number, name in enumerate(request.progress(names, f"{split} notes")):
            if name not in mentions:
                tally.add("note without annotations, read as having no entities", name)
            result[split] += _note(notes[name], mentions.get(name, []), number, request, tally)
    return result


def _note(path: Path, mentions: list[Mention], number: int, request: Request, tally: Tally) -> list[Example]:
    text = read_raw(path)
    inside = []
    for mention in mentions:
        if mention.fragments[-1][1] > len(text):
            tally.add("annotation that ends after its text, dropped", mention.place)
        else:
            inside.append(mention)
    lines = True if request.lines is None else request.lines
    return build_examples(text, sentence_words(text, lines=lines), inside, number, tally, across=request.across)


def _notes(root: Path, tally: Tally) -> tuple[dict[str, Path], dict[str, str | None]]:
    """Note -> text file, and note -> train or test."""
    notes: dict[str, Path] = {}
    parts: dict[str, str | None] = {}
    for path in sorted(root.rglob("*.txt")):
        if ".pipe" in path.name or not path.is_file() or not re.match(r"\d", path.name):
            continue
        name = plain_name(path.name)
        if name in notes:
            tally.add("further copy of a note, left out", str(path.relative_to(root)))
            continue
        notes[name], parts[name] = path, part_of(path.parent, root)
    return notes, parts


def _annotations(root: Path, tally: Tally) -> dict[str, list[Mention]]:
    mentions: dict[str, list[Mention]] = {}
    folders: dict[str, Path] = {}
    for path in sorted(root.rglob("*.pipe*")):
        if not path.is_file():
            continue
        for mention, note in _read_pipe(path, tally):
            other = folders.setdefault(note, path.parent)
            if other != path.parent:
                raise DataFormatError(
                    f"{root}: note {note} is annotated in {other.name} and in {path.parent.name}. Expected one "
                    "annotation. Move one of them away (published for 2013: Gold_SN2012)."
                )
            mentions.setdefault(note, []).append(mention)
    return mentions


def _read_pipe(path: Path, tally: Tally) -> Iterator[tuple[Mention, str]]:
    for number, line in enumerate(read_raw(path).splitlines(), 1):
        if not line.strip():
            continue
        match = _OLD.fullmatch(line.strip()) or _NEW.fullmatch(line.strip())
        if match is None:
            raise DataFormatError(
                f"{path}:{number}: {line[:60]!r}. Expected 'note.txt||type||CUI||start||end...' (2013) or "
                "'note.txt|start-end,start-end|CUI|...' (2014). Fix the line."
            )
        offsets = list(map(int, _NUMBER.findall(match["offsets"])))
        fragments = tuple(sorted(zip(offsets[::2], offsets[1::2], strict=True)))
        place = f"{path.name}:{number}"
        if any(end <= start for start, end in fragments):
            tally.add("annotation with a fragment that ends before it starts, dropped", place)
            continue
        yield Mention(_LABEL, fragments, place), plain_name(match["note"].strip())


def _tenth(parts: Mapping[str, str | None], tally: Tally) -> dict[str, str] | None:
    """Every tenth training note as dev, if there is no dev part."""
    if "dev" in parts.values():
        return None
    train = [name for name, part in parts.items() if part == "train"]
    chosen = train[_DEV_EVERY - 1 :: _DEV_EVERY] or train[-1:]
    for name in chosen:
        tally.add("training note moved to dev, one in ten (no --splits): not the published split", name)
    return dict.fromkeys(chosen, "dev")
