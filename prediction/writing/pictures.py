"""Pictures for people: a page for the browser, and drawings for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from data.prepare.request import Tally
from evaluation.terminal import ERROR_LEGEND, Style, render_sentence, visible
from prediction.pictures import page_end, page_start
from prediction.pictures.marks import Mark, judge
from prediction.pictures.markup import legend, section
from prediction.pictures.palette import looks
from prediction.results import TextEntity, TextResult, TextSegment
from prediction.writing.base import FEATURES, Writer

__all__ = ["Drawings", "Page"]

_PICTURED = frozenset(FEATURES) - {"words"}
# The legend is only known at the end of the page; there it stays in sight while the texts are scrolled through.
_LEGEND_STYLE = "<style>.genner-legend{position:sticky;bottom:0;margin:0;padding:.5em 0;background:Canvas}</style>\n"


class Page(Writer):
    """One HTML page with a picture per text; gold entities, if there are any, above what was found."""

    holds: ClassVar[frozenset[str]] = _PICTURED

    def head(self) -> bytes:
        return page_start().encode("utf-8")

    def encode(self, result: TextResult) -> bytes:
        judged = judge(result, result.gold)
        seen = self.state.setdefault("seen", [])
        for mark in (*(judged.gold or ()), *judged.predicted):
            look = [mark.entity.type, mark.entity.is_discontinuous, mark.kind]
            if look not in seen:
                seen.append(look)
        drawn = section(result, judged, self._looks(), scores=True, titled=True)
        return self.utf8(f"\n{drawn}\n", result.id)

    def tail(self) -> bytes:
        marks = [_stand_in(*look) for look in self.state.get("seen", [])]
        return self.utf8(f"\n{_LEGEND_STYLE}{legend(self._looks(), marks)}\n{page_end()}", "legend")

    def _looks(self) -> dict[str, tuple[int, int]]:
        # In the order in which they were met, so that a label never changes its look within the page.
        return looks([*self.labels, *(label for label, *_ in self.state.get("seen", []))], ())


class Drawings(Writer):
    """Sentences with bars below their words, for a terminal that shows them, or plain for a file."""

    holds: ClassVar[frozenset[str]] = _PICTURED - {"scores", "crossing", "text"} | {"words"}
    is_shown = True

    def __init__(self, tally: Tally, labels: Sequence[str] = ()) -> None:
        super().__init__(tally, labels)
        self._plain = Style.of(sys.stdout)

    def encode(self, result: TextResult) -> bytes:
        lines = [f"{visible(result.id)}:"] if result.id else []
        if result.error is not None:
            lines.append(f"not read: {visible(result.error)}")
        lines += [f"note: {visible(note)}" for note in result.notes]
        examples, crossing = result.examples()
        if crossing:
            self.tally.add("entity over a sentence end, not drawn", result.id, len(crossing))
        gold = [None] * len(examples)
        if result.gold is not None:
            gold = [row.entities for row in replace(result, entities=result.gold).examples()[0]]
        style = replace(self._plain, labels=self.labels)
        for example, known in zip(examples, gold, strict=True):
            lines.append(render_sentence(example.words, example.entities, style, gold=known))
        if result.gold is not None and "explained" not in self.state:
            self.state["explained"] = True
            lines.insert(0, ERROR_LEGEND)
        return self.utf8("\n".join(lines) + "\n\n", result.id)


def _stand_in(label: str, is_discontinuous: bool, kind: str) -> Mark:
    """An entity that looks like one that was drawn."""
    part = TextSegment("", 0, 0, 0, 0)
    return Mark(TextEntity(label, (part, part) if is_discontinuous else (part,)), kind)
