"""Encodes the sentences of one split and reports what that did to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from data.alignment import WordAlignment, WordTokenizer
from data.cache import CacheStatus, flatten, unflatten
from data.codecs.pointer import PointerCodec, Target
from data.long_sentences import Limits, cut_sentence, entities_within
from data.schema import Entity, Segment
from errors import DataFormatError, SequenceTooLongError

__all__ = ["EncodedSplit", "PipeReport", "SplitEncoder"]

_N_PLACES = 5
_SUMMARISED = ("sentences", "words", "entities", "rows")
_Row = tuple[int, WordAlignment, Target]  # first word of the row in its sentence, source, target


@dataclass
class PipeReport:
    """What the pipe did to one split.

    Attributes:
        counts: ``sentences words entities rows`` and, where they occur, ``unknown_words`` (without a piece),
            ``lookalikes`` (words that contain the text of a special piece), ``split_sentences``,
            ``dropped_sentences``, ``dropped_entities``, ``oracle_missed`` and ``oracle_wrong`` (entities).
        places: numbers, from 1, of the first few sentences that were split or dropped.
        longest_source, longest_target: pieces and symbols of the longest row.
        oracle_f: F1 in percent of the decoded targets against all gold entities, those of dropped sentences included;
            100 where there are no entities.
        cache: where the split came from, see :mod:`data.cache`.
    """

    split: str
    counts: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[int]] = field(default_factory=dict)
    longest_source: int = 0
    longest_target: int = 0
    oracle_f: float = 100.0
    cache: CacheStatus = "off"

    def count(self, reason: str, sentence_idx: int) -> None:
        """Count something that happened to a sentence, and remember the first few sentences."""
        self.counts[reason] += 1
        places = self.places.setdefault(reason, [])
        if len(places) < _N_PLACES:
            places.append(sentence_idx + 1)

    def lines(self) -> list[str]:
        """The report as text: a summary, then one line for everything unusual that was counted."""
        counts = self.counts
        summary = (
            f"{self.split}: {counts['sentences']} sentences, {counts['entities']} entities, {counts['rows']} rows, "
            f"longest source {self.longest_source} pieces, longest target {self.longest_target} symbols, "
            f"oracle F1 {self.oracle_f:.2f}, cache {self.cache}"
        )
        lines = [summary]
        for name in sorted(counts.keys() - set(_SUMMARISED)):
            places = ", ".join(map(str, self.places.get(name, [])))
            lines.append(f"{self.split}: {name} {counts[name]}" + (f" (first at sentences {places})" if places else ""))
        return lines


@dataclass
class EncodedSplit:
    """Columns of a split, one entry per row; a row is a sentence or, after a split, a part of one.

    Attributes:
        src_tokens: (S,) pieces of each row.
        bounds: (W + 1,) piece bounds of its words.
        tgt_tokens: (T,) symbols.
        target_span: groups of symbols, one per entity.
        example_idx: number of the row's sentence in the split.
        word_offset: the row's first word in its sentence.
    """

    src_tokens: list[list[int]] = field(default_factory=list)
    bounds: list[list[int]] = field(default_factory=list)
    tgt_tokens: list[list[int]] = field(default_factory=list)
    target_span: list[list[list[int]]] = field(default_factory=list)
    example_idx: list[int] = field(default_factory=list)
    word_offset: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.src_tokens)

    def append(self, sentence_idx: int, row: _Row) -> None:
        """Add a row."""
        offset, alignment, target = row
        self.src_tokens.append(alignment.piece_ids)
        self.bounds.append(alignment.bounds)
        self.tgt_tokens.append(target.symbols)
        self.target_span.append(target.groups)
        self.example_idx.append(sentence_idx)
        self.word_offset.append(offset)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All columns as flat integer arrays, for the cache."""
        groups = [group for row in self.target_span for group in row]
        arrays = {"n_groups": np.fromiter(map(len, self.target_span), dtype=np.int32, count=len(self))}
        columns = {"src": self.src_tokens, "bounds": self.bounds, "tgt": self.tgt_tokens, "group": groups}
        for name, rows in columns.items():
            arrays[f"{name}_values"], arrays[f"{name}_lens"] = flatten(rows)
        arrays["example_idx"] = np.array(self.example_idx, dtype=np.int32)
        arrays["word_offset"] = np.array(self.word_offset, dtype=np.int32)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> EncodedSplit:
        """What :meth:`to_arrays` wrote."""
        src, bounds, tgt, groups = (
            unflatten(arrays[f"{name}_values"], arrays[f"{name}_lens"]) for name in ("src", "bounds", "tgt", "group")
        )
        remaining = iter(groups)
        spans = [list(islice(remaining, n_groups)) for n_groups in arrays["n_groups"].tolist()]
        return cls(src, bounds, tgt, spans, arrays["example_idx"].tolist(), arrays["word_offset"].tolist())


class SplitEncoder:
    """Encodes one split, sentence by sentence.

    Args:
        word_tokenizer: pieces of the words.
        codec: targets of the entities.
        limits: what a row may have.
        on_too_long: ``error``, ``split`` or ``drop``.
    """

    def __init__(self, word_tokenizer: WordTokenizer, codec: PointerCodec, limits: Limits, on_too_long: str) -> None:
        self.word_tokenizer = word_tokenizer
        self.codec = codec
        self.limits = limits
        self.on_too_long = on_too_long

    def encode(
        self, words: Sequence[Sequence[str]], entities: Sequence[Sequence[Entity]], split: str
    ) -> tuple[EncodedSplit, PipeReport]:
        """Rows and report of a split; errors name the split and the sentence's number, from 1."""
        encoded, report, oracle = EncodedSplit(), PipeReport(split), _Oracle(self.codec)
        tokenizer, encode, hold = self.word_tokenizer, self.codec.encode, self.limits.hold
        n_unknown, n_lookalikes = tokenizer.n_unknown_words, tokenizer.n_lookalikes
        for idx, (alignment, gold) in enumerate(zip(tokenizer.align_many(words), entities, strict=True)):
            try:
                target = encode(gold, alignment.bounds)
            except DataFormatError as error:
                raise DataFormatError(f"{split}, sentence {idx + 1}: {error}") from None
            if hold(len(alignment.piece_ids), len(target.symbols) - 1):
                rows = [(0, alignment, target)]
            else:
                rows = self._shorten((idx, alignment, target), gold, report)
            for row in rows:
                encoded.append(idx, row)
            if gold:
                oracle.add(gold, rows)
        report.counts.update(sentences=len(words), words=sum(map(len, words)), entities=sum(map(len, entities)))
        report.counts.update(rows=len(encoded), oracle_missed=oracle.missed, oracle_wrong=oracle.wrong)
        report.counts["unknown_words"] = tokenizer.n_unknown_words - n_unknown
        report.counts["lookalikes"] = tokenizer.n_lookalikes - n_lookalikes
        report.counts = Counter({name: n for name, n in report.counts.items() if n or name in _SUMMARISED})
        report.longest_source = max(map(len, encoded.src_tokens), default=0)
        report.longest_target = max(map(len, encoded.tgt_tokens), default=0)
        report.oracle_f = oracle.f
        return encoded, report

    def _shorten(self, sentence: _Row, gold: Sequence[Entity], report: PipeReport) -> list[_Row]:
        """The rows of a sentence that is too long: its parts, or none if it is dropped."""
        idx, alignment, target = sentence
        if self.on_too_long == "error":
            raise SequenceTooLongError(
                f"{report.split}, sentence {idx + 1}: {len(alignment.piece_ids)} pieces and {len(target.symbols) - 1} "
                f"decoder inputs. Expected at most {self.limits}. Set data.on_too_long to split or drop, or use a "
                "backbone with more positions."
            )
        parts = self._cut(alignment, gold) if self.on_too_long == "split" else None
        if parts is None:
            report.count("dropped_sentences", idx)
            report.counts["dropped_entities"] += len(gold)
            return []
        report.count("split_sentences", idx)
        tokenizer, bounds, rows = self.word_tokenizer, alignment.bounds, []
        for start, end in parts:
            piece_ids = tokenizer.enclose(alignment.piece_ids[bounds[start] : bounds[end]])
            shift = tokenizer.lead - bounds[start]
            part = WordAlignment(piece_ids, [bound + shift for bound in bounds[start : end + 1]])
            rows.append((start, part, self.codec.encode(entities_within(gold, start, end), part.bounds)))
        return rows

    def _cut(self, alignment: WordAlignment, gold: Sequence[Entity]) -> list[tuple[int, int]] | None:
        """Word ranges of the parts of a sentence."""
        n_special = self.word_tokenizer.lead + self.word_tokenizer.tail
        entities = gold if self.codec.compat else list(dict.fromkeys(gold))
        sizes = [len(self.codec.encode([entity], alignment.bounds).groups[0]) for entity in entities]
        return cut_sentence(alignment.bounds, entities, sizes, self.limits.less(n_special, 1))


class _Oracle:
    """Counts what is lost between the entities and their decoded targets."""

    def __init__(self, codec: PointerCodec) -> None:
        self.codec = codec
        self.right = self.missed = self.wrong = 0

    def add(self, gold: Sequence[Entity], rows: Sequence[_Row]) -> None:
        """Compare a sentence's entities with what its rows decode to."""
        expected, found = set(gold), set()
        for offset, alignment, target in rows:
            decoded = self.codec.decode(target.symbols, alignment.bounds)
            found.update(_moved(entity, offset) for entity in decoded.entities)
        n_right = len(expected & found)
        self.right += n_right
        self.missed += len(expected) - n_right
        self.wrong += len(found) - n_right

    @property
    def f(self) -> float:
        """F1 in percent."""
        total = 2 * self.right + self.missed + self.wrong
        return 200.0 * self.right / total if total else 100.0


def _moved(entity: Entity, offset: int) -> Entity:
    if not offset:
        return entity
    return Entity(entity.label, tuple(Segment(start + offset, end + offset) for start, end in entity.segments))
