"""ACE 2004 and ACE 2005 (LDC2005T09, LDC2006T06): ``.sgm`` texts and ``.apf.xml`` stand-off annotation.

The entities are the full extents of the entity mentions, with the type of their entity; values, times, relations and
events are not part of the task. The text is the contents of ``<TEXT>``; sentences do not cross its tags.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

from genner.data.folders import files_below
from genner.data.offsets import Mention, fit, to_characters
from genner.data.prepare.request import Request, assign, plain_name, read_lists
from genner.data.schema import Example
from genner.data.tally import Tally
from genner.data.text import build_examples, sentence_words
from genner.data.utf8 import read_raw
from genner.errors import ConfigError, DataFormatError

__all__ = ["ace", "read_ace_document"]

_TAG = re.compile(r"<[^<>]*>")
_ESCAPE = re.compile(r"&(?:amp|lt|gt|quot|apos|#\d+);")
_FILLER = "\x1f"  # white space that does not occur in texts: keeps the length of an escaped character
_ANNOTATION = ".apf.xml"
_STAGES = ("timex2norm", "adj")  # ACE 2005 has every document in several stages of annotation


def ace(request: Request, tally: Tally) -> dict[str, list[Example]]:
    """All documents named by the lists.

    Raises:
        ConfigError: no lists of documents.
        DataFormatError: a document is missing or cannot be read.
    """
    if request.splits is None:
        raise ConfigError(
            "ACE: no lists of documents. Expected --splits with a file of 'split document' lines or a folder with "
            "train.txt, dev.txt and test.txt: this corpus has no split of its own. Set --splits; docs/corpora.md says "
            "where to find the published one."
        )
    lists = read_lists(request.splits)
    files = _files(request.raw, tally)
    splits = assign(dict.fromkeys(files), lists, tally, request.raw)
    result: dict[str, list[Example]] = {}
    for split, names in splits.items():
        result[split] = []
        for number, name in enumerate(request.progress(names, f"{split} documents")):
            text, parts, mentions = read_ace_document(files[name], tally)
            sentences = sentence_words(text, parts, lines=bool(request.lines))
            first, last = (parts[0][0], parts[-1][1]) if parts else (0, 0)
            inside = []
            for mention in mentions:
                if first <= mention.fragments[0][0] and mention.fragments[0][1] <= last:
                    inside.append(mention)
                else:
                    tally.add("annotation outside of <TEXT> (headline, date, slug), left out", mention.place)
            result[split] += build_examples(text, sentences, inside, number, tally, across=request.across)
    return result


def read_ace_document(path: Path, tally: Tally) -> tuple[str, list[tuple[int, int]], list[Mention]]:
    """The text without tags, the stretches of it inside ``<TEXT>``, and the entity mentions of an ``.apf.xml`` file.

    Raises:
        DataFormatError: there is no text file, the XML cannot be read, or an offset is not a number.
    """
    source = path.with_name(path.name.removesuffix(_ANNOTATION) + ".sgm")
    raw = read_raw(source)
    mentions = list(_mentions(path))
    # Offsets count an escaped character as written or as one: the mentions show which.
    marked = [_strip_tags(raw, way) for way in ([_pad, _unescape] if "&" in raw else [_unescape])]
    text, parts = max(marked, key=lambda pair: fit(pair[0], mentions))
    return text, parts, to_characters(text, mentions, tally, repair=False)


def _files(root: Path, tally: Tally) -> dict[str, Path]:
    """Document -> annotation; of several stages the last."""
    found: dict[str, list[Path]] = {}
    for path in files_below(root, tally):
        if not path.name.endswith(_ANNOTATION) or {"Arabic", "Chinese"} & set(path.relative_to(root).parts):
            continue
        found.setdefault(plain_name(path.name), []).append(path)
    if not found:
        raise DataFormatError(
            f"{root}: no *{_ANNOTATION} file below it. Expected the LDC release with data/English/... Set --raw."
        )
    result = {}
    for name, paths in found.items():
        ranked = sorted(paths, key=lambda path: [stage not in path.parts for stage in _STAGES])
        result[name] = ranked[0]
        if len(paths) > 1:
            tally.add(f"document in several stages of annotation, {ranked[0].parent.name} taken", name)
    return result


def _mentions(path: Path) -> Iterator[Mention]:
    try:
        tree = ElementTree.parse(path)
    except (ElementTree.ParseError, OSError) as error:
        raise DataFormatError(f"{path}: cannot be read ({error}). Expected APF in XML. Copy it again.") from None
    for entity in tree.iter("entity"):
        label = entity.get("TYPE", "")
        for mention in entity.iter("entity_mention"):
            extent = mention.find("extent/charseq")
            name = mention.get("ID", "?")
            start, end = (extent.get("START", ""), extent.get("END", "")) if extent is not None else ("", "")
            if not (label and start.isdecimal() and end.isdecimal()):
                raise DataFormatError(
                    f"{path}: mention {name} has type {label!r} and extent {start!r}..{end!r}. Expected a TYPE and an "
                    "<extent> with a <charseq START=... END=...>. Fix the file."
                )
            place = f"{path.name}:{name}"
            yield Mention(label, ((int(start), int(end) + 1),), place, "".join(extent.itertext()))


def _strip_tags(raw: str, unescape: Callable[[re.Match[str]], str]) -> tuple[str, list[tuple[int, int]]]:
    """The text between the tags, unescaped, and the spans inside ``<TEXT>``."""
    pieces: list[str] = []
    parts: list[tuple[int, int]] = []
    at = length = 0
    inside = False
    for match in _TAG.finditer(raw):
        piece = _ESCAPE.sub(unescape, raw[at : match.start()])  # after the tags: &lt; does not start one
        pieces.append(piece)
        if inside and piece.strip():
            parts.append((length, length + len(piece)))
        length += len(piece)
        at = match.end()
        name = match.group().strip("<>/ ").split(" ")[0].upper()
        if name == "TEXT":
            inside = not match.group().startswith("</")
    pieces.append(_ESCAPE.sub(unescape, raw[at:]))
    return "".join(pieces), parts


def _pad(match: re.Match[str]) -> str:
    return _unescape(match) + _FILLER * (len(match.group()) - 1)


def _unescape(match: re.Match[str]) -> str:
    return html.unescape(match.group())
