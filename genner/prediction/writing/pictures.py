"""Pictures as output: a page for the browser, and drawings for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from genner.data.tally import Tally
from genner.evaluation.terminal import ERROR_LEGEND, Style, render_sentence, visible
from genner.prediction.pictures import page_end, page_part, page_start
from genner.prediction.results import TextResult
from genner.prediction.writing.base import FEATURES, Writer

__all__ = ["Drawings", "Page"]

_PICTURED = frozenset(FEATURES) - {"words"}


class Page(Writer):
    """One HTML page with a picture per text; gold entities, if there are any, above the predictions."""

    holds: ClassVar[frozenset[str]] = _PICTURED

    def head(self) -> bytes:
        return self.utf8(page_start(labels=self.labels), "head")

    def encode(self, result: TextResult) -> bytes:
        return self.utf8(page_part(result, labels=self.labels), result.id)

    def tail(self) -> bytes:
        return page_end().encode("utf-8")


class Drawings(Writer):
    """Sentences with bars below their words, for a terminal, or without colours for a file."""

    holds: ClassVar[frozenset[str]] = _PICTURED - {"crossing", "text"} | {"words"}

    def __init__(self, tally: Tally, labels: Sequence[str] = ()) -> None:
        super().__init__(tally, labels)
        self._plain = Style.of(sys.stdout)

    def encode(self, result: TextResult) -> bytes:
        lines = [f"{visible(result.id)}:"] if result.id else []
        if result.error is not None:
            lines.append(f"not read: {visible(result.error)}")
        lines += [f"note: {visible(note)}" for note in result.notes]
        is_judged = result.gold is not None and result.error is None
        examples, _ = result.examples()
        gold = [None] * len(examples)
        if is_judged:
            gold = [row.entities for row in replace(result, entities=result.gold).examples()[0]]
        style = replace(self._plain, labels=self.labels)
        scores = {found.words: found.score for found in result}
        for (start, _), example, known in zip(result.sentences, examples, gold, strict=True):
            of_sentence = {entity: scores[entity.shifted(start)] for entity in example.entities}
            lines.append(render_sentence(example.words, example.entities, style, gold=known, scores=of_sentence))
        if is_judged and "explained" not in self.state:
            self.state["explained"] = True
            lines.insert(0, ERROR_LEGEND)
        return self.utf8("\n".join(lines) + "\n\n", result.id)
