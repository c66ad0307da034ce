"""What the page shows besides the picture, as HTML with all text of users and models escaped; examples and files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TypedDict

from genner.data.demo_grammar import MARKS
from genner.data.loaders.reading import read_lines
from genner.errors import ConfigError, DataFormatError
from genner.prediction.pictures import render
from genner.prediction.results import TextEntity, TextResult

__all__ = ["decode_upload", "examples_for", "file_of", "filtered", "message", "read_examples", "summary"]

_TABLE_ROWS = 500
_JSON_CHARS = 100_000
_MOST_EXAMPLES = 20

#: Invented, in the style of the demo corpus: nested and discontinuous entities of all its types.
_DEMO = (
    "A scan at the University of Wimmouth showed no cause for belly and heelbone cramps last autumn.",
    "After the first dose, cramps in my tongue and handbones kept Zoran Brumley awake.",
    "In October, the Universities of Hirhaven and Nenford and the Horkford Evening Post signed a contract.",
    "His heels got hot, and the stinging came back in my eyebrow. On Sunday, warmth in my shins kept Nikolai and "
    "Frieda Simley awake before the next appointment.",
)


class MediaFile(TypedDict):
    """A file for the browser to save."""

    name: str
    type: str
    content: str


def file_of(kind: str, result: TextResult, labels: Sequence[str]) -> MediaFile:
    """The result as a file: ``jsonl`` or ``html``."""
    if kind == "html":
        content, media = render(result, labels=labels, page=True), "text/html"
    else:
        content, media = json.dumps(result.record(), ensure_ascii=False) + "\n", "application/jsonl"
    return {"name": f"entities.{kind}", "type": f"{media};charset=utf-8", "content": content}


def examples_for(labels: Sequence[str]) -> list[str]:
    """Examples for a model with these entity types: those of the demo if they match, else none."""
    return list(_DEMO) if set(labels) == set(MARKS.values()) else []


def read_examples(path: Path, max_chars: int) -> list[str]:
    """The non-empty lines of a file.

    Raises:
        DataFormatError: the file cannot be read or is not UTF-8.
        ConfigError: it has no lines, too many lines, or a line that is too long.
    """
    lines = [(number, line.strip()) for number, line in enumerate(read_lines(path), start=1) if line.strip()]
    if not 0 < len(lines) <= _MOST_EXAMPLES:
        raise ConfigError(
            f"{path}: {len(lines)} examples. Expected 1 to {_MOST_EXAMPLES}, one per line. Add or remove lines."
        )
    for number, line in lines:
        if len(line) > max_chars:
            raise ConfigError(
                f"{path}:{number}: {len(line):,} characters. Expected at most {max_chars:,}. Shorten it or raise "
                "--max_chars."
            )
    return [line for _, line in lines]


def decode_upload(content: bytes) -> str:
    """The text of a file.

    Raises:
        DataFormatError: it is not text in UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataFormatError(
            f"The file is not UTF-8: {error.reason} at byte {error.start:,}. Expected a text file in UTF-8. Save it as "
            "UTF-8, or paste the text."
        ) from None
    if "\0" in text:
        raise DataFormatError("The file contains NUL characters. Expected a text file, not UTF-16 or binary.")
    return text


def filtered(result: TextResult, min_score: float, types: Collection[str]) -> TextResult:
    """The result with only the entities of the given types and at least the given score."""
    kept = [entity for entity in result.at_least(min_score).entities if entity.type in types]
    return replace(result, entities=tuple(kept))


def message(text: str, kind: str) -> str:
    """A message; ``kind`` is ``error``, ``note`` or ``plain``."""
    return f'<p class="page-message page-{kind}">{escape(text)}</p>'


def summary(result: TextResult, shown: TextResult, seconds: float) -> str:
    """What was found, and how much of it is hidden."""
    if result.error is not None:
        return message(result.error, "error")
    counts = Counter(entity.type for entity in shown.entities)
    kinds = ", ".join(f"{n} {label}" for label, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
    found = f"{_entities(len(shown))}: {kinds}" if counts else "No entities"
    hidden = len(result) - len(shown)
    found += f"; {hidden} hidden by score or type" if hidden else ""
    return message(f"{found}. {len(result.words):,} words read in {seconds:.2f} s.", "plain")


def table(result: TextResult) -> str:
    """The entities as rows."""
    if not result.entities:
        return message("No entities to list.", "plain")
    rows = "\n".join(_row(entity) for entity in result.entities[:_TABLE_ROWS])
    rest = len(result) - _TABLE_ROWS
    more = message(f"… and {rest:,} more: download the result to see all.", "plain") if rest > 0 else ""
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("Type", "Entity", "Score", "Characters"))
    return (
        '<div class="page-scroll" tabindex="0" role="region" aria-label="Entities as a table">'
        f'<table class="page-table"><thead><tr>{heads}</tr></thead>\n<tbody>{rows}</tbody></table></div>{more}'
    )


def json_view(result: TextResult) -> str:
    """The result in the format of the service."""
    text = json.dumps(result.record(), ensure_ascii=False, indent=2)
    rest = len(text) - _JSON_CHARS
    more = message(f"… and {rest:,} more characters: download the result to see all.", "plain") if rest > 0 else ""
    return (
        '<div class="page-scroll" tabindex="0" role="region" aria-label="Entities as JSON">'
        f'<pre class="page-json">{escape(text[:_JSON_CHARS])}</pre></div>{more}'
    )


def _entities(n: int) -> str:
    return f"{n:,} {'entity' if n == 1 else 'entities'}"


def _row(entity: TextEntity) -> str:
    surface = ' <span class="page-gap">…</span> '.join(f"<bdi>{escape(part.text)}</bdi>" for part in entity.segments)
    places = ", ".join(f"{part.start}–{part.end}" for part in entity.segments)
    cells = (escape(entity.type), surface, f"{entity.score:.2f}", places)
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
