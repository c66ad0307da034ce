"""Formats of words and entities on words: the three of our corpora, see docs/own_data.md, and W2NER's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from genner.data.schema import Example, sort_entities
from genner.data.writing import DOCSTART, format_examples
from genner.prediction.results import TextResult
from genner.prediction.writing.base import Writer, json_bytes

__all__ = ["Columns", "Documents", "Records", "W2ner"]

_EMPTY_DOCUMENT = '{"ners": [], "sentences": []}\n'


class _WordWriter(Writer):
    """Sentences of words; the white space between words is lost."""

    loader: ClassVar[str]

    def encode(self, result: TextResult) -> bytes:
        examples, _ = result.examples()
        rows = [Example(row.words, sort_entities(row.entities), self._document()) for row in examples if row.words]
        return self.utf8(self.text_of(rows, result.id), result.id)

    def text_of(self, examples: Sequence[Example], name: str) -> str:
        """The sentences of a text."""
        return "".join(format_examples(self.loader, examples, name, name, self.tally))

    def _document(self) -> int | None:
        return None


class Columns(_WordWriter):
    """``word TAG`` lines.

    Once a text does not have exactly one sentence, ``-DOCSTART-`` begins every text: without it, a text is a sentence.
    Of entities that share words the longest is kept, of equally long ones the one with the highest score.
    """

    loader = "conll"
    holds: ClassVar[frozenset[str]] = frozenset({"words", "documents"})

    def text_of(self, examples: Sequence[Example], name: str) -> str:
        if len(examples) != 1:
            self.state["marks"] = True
        mark = f"{DOCSTART} O\n\n" if self.state.get("marks") else ""
        return mark + super().text_of([self._unlike_a_mark(row, name) for row in examples], name)

    def _unlike_a_mark(self, example: Example, name: str) -> Example:
        if example.words != (DOCSTART,) or example.entities:
            return example
        self.tally.add(f"sentence of the word {DOCSTART}, which marks documents, written with '_'", name)
        return replace(example, words=(DOCSTART + "_",))


class Documents(_WordWriter):
    """One JSON document per text: ``{"ners", "sentences"}``."""

    loader = "nested"
    holds: ClassVar[frozenset[str]] = frozenset({"overlapping", "words", "documents"})

    def text_of(self, examples: Sequence[Example], name: str) -> str:
        return super().text_of(examples, name) if examples else _EMPTY_DOCUMENT

    def _document(self) -> int | None:
        return 0


class Records(_WordWriter):
    """Three lines per sentence; which sentences formed a text is lost."""

    loader = "discontinuous"
    holds: ClassVar[frozenset[str]] = frozenset({"overlapping", "discontinuous", "words"})

    def text_of(self, examples: Sequence[Example], name: str) -> str:
        if not examples:
            self.tally.add("text without words, left out", name)
        elif len(examples) > 1:
            self.tally.add("text of several sentences, written as several", name)
        return super().text_of(examples, name)


class W2ner(Writer):
    """A list of ``{"sentence": [words], "ner": [{"index": [numbers of words], "type"}]}``.

    Which sentences formed a text is lost.
    """

    holds: ClassVar[frozenset[str]] = frozenset({"overlapping", "discontinuous", "words"})

    def head(self) -> bytes:
        return b"["

    def encode(self, result: TextResult) -> bytes:
        rows = [row for row in result.examples()[0] if row.words]
        if not rows:
            self.tally.add("text without words, left out", result.id)
        elif len(rows) > 1:
            self.tally.add("text of several sentences, written as several", result.id)
        written = b""
        for row in rows:
            ner = [{"index": entity.word_indices(), "type": entity.label} for entity in sort_entities(row.entities)]
            written += (b",\n" if self.state.get("begun") else b"\n") + json_bytes({"sentence": row.words, "ner": ner})
            self.state["begun"] = True
        return written

    def tail(self) -> bytes:
        return b"\n]\n"
