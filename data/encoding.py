"""Encodes the sentences of one split, and reports what happened to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from genner.data.alignment import CHUNK, WordAlignment, WordTokenizer
from genner.data.cache import CacheStatus
from genner.data.codecs.pointer import PointerCodec, Target
from genner.data.encoded import EncodedSplit, SplitBuilder
from genner.data.long_sentences import Limits, cut_sentence
from genner.data.schema import Entity, Example, entities_within
from genner.errors import DataFormatError, SequenceTooLongError

__all__ = ["PipeReport", "SplitEncoder"]

_N_PLACES = 5
_SUMMARISED = ("sentences", "words", "entities", "rows")
_Row = tuple[int, WordAlignment, Target]  # first word of the row in its sentence, source, target


@dataclass
class PipeReport:
    """What happened to one split.

    Attributes:
        counts: ``sentences words entities rows`` and, if they occur, ``unknown_words`` (without a piece),
            ``lookalikes`` (words that contain the text of a special piece), ``split_sentences``,
            ``dropped_sentences``, ``dropped_entities``, ``oracle_missed`` and ``oracle_wrong`` (entities).
        places: numbers, from 1, of the first few split or dropped sentences.
        longest_source, longest_target: pieces and symbols of the longest row.
        oracle_f: F1 in percent of the decoded targets against all gold entities, including those of dropped sentences;
            100 if there are no entities.
        cache: whether the split came from the cache, see :mod:`genner.data.cache`.
    """

    split: str
    counts: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[int]] = field(default_factory=dict)
    longest_source: int = 0
    longest_target: int = 0
    oracle_f: float = 100.0
    cache: CacheStatus = "off"

    def count(self, reason: str, sentence_idx: int) -> None:
        """Count an event, and remember the first few sentences."""
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


class SplitEncoder:
    """Encodes one split, sentence by sentence.

    Args:
        word_tokenizer: pieces of the words.
        codec: targets of the entities.
        limits: of a row.
        on_too_long: ``error``, ``split`` or ``drop``.
    """

    def __init__(self, word_tokenizer: WordTokenizer, codec: PointerCodec, limits: Limits, on_too_long: str) -> None:
        self.word_tokenizer = word_tokenizer
        self.codec = codec
        self.limits = limits
        self.on_too_long = on_too_long

    def encode(self, examples: Sequence[Example], split: str) -> tuple[EncodedSplit, PipeReport]:
        """Rows and report of a split; errors name the split and the sentence's number, from 1."""
        rows, report, oracle = SplitBuilder(), PipeReport(split), _Oracle(self.codec)
        tokenizer, counts = self.word_tokenizer, report.counts
        n_unknown, n_lookalikes = tokenizer.n_unknown_words, tokenizer.n_lookalikes
        for first_idx in range(0, len(examples), CHUNK):
            chunk = list(examples[first_idx : first_idx + CHUNK])
            self._encode_chunk(first_idx, chunk, rows, report, oracle)
            counts["words"] += sum(len(example.words) for example in chunk)
            counts["entities"] += sum(len(example.entities) for example in chunk)
        encoded = rows.build(compat=self.codec.compat)
        counts.update(sentences=len(examples), rows=len(encoded))
        counts.update(oracle_missed=oracle.missed, oracle_wrong=oracle.wrong)
        counts["unknown_words"] = tokenizer.n_unknown_words - n_unknown
        counts["lookalikes"] = tokenizer.n_lookalikes - n_lookalikes
        report.counts = Counter({name: n for name, n in counts.items() if n or name in _SUMMARISED})
        report.longest_source = int(encoded.lengths.max(initial=0))
        report.longest_target = int(encoded.target_lengths.max(initial=0))
        report.oracle_f = oracle.f
        return encoded, report

    def _encode_chunk(
        self, first_idx: int, examples: Sequence[Example], rows: SplitBuilder, report: PipeReport, oracle: _Oracle
    ) -> None:
        """Add the rows of some sentences, which are numbered from ``first_idx`` in the split."""
        src_tokens, bounds = self.word_tokenizer.align_columns([example.words for example in examples])
        n_pieces, encode, hold = src_tokens.lens.tolist(), self.codec.encode, self.limits.hold
        targets: list[list[int]] = []
        shortened: dict[int, list[_Row]] = {}  # rows of the sentences that are too long
        for idx, (example, word_bounds) in enumerate(zip(examples, bounds, strict=True)):
            gold = example.entities
            try:
                target = encode(gold, word_bounds)
            except DataFormatError as error:
                raise DataFormatError(f"{report.split}, sentence {first_idx + idx + 1}: {error}") from None
            targets.append(target.symbols)
            written = [(0, word_bounds, target.symbols)]
            if not hold(n_pieces[idx], len(target.symbols) - 1):
                sentence = first_idx + idx, WordAlignment(src_tokens[idx], word_bounds), target
                parts = shortened[idx] = self._shorten(sentence, gold, report)
                written = [(offset, part.bounds, target.symbols) for offset, part, target in parts]
            if gold:
                oracle.add(gold, written)
        start = 0
        for idx in [*shortened, len(examples)]:
            rows.extend(first_idx + start, src_tokens[start:idx], bounds[start:idx], targets[start:idx])
            for offset, alignment, target in shortened.get(idx, ()):
                rows.append(first_idx + idx, offset, alignment.piece_ids, alignment.bounds, target.symbols)
            start = idx + 1

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

    def add(self, gold: Sequence[Entity], written: Sequence[tuple[int, list[int], list[int]]]) -> None:
        """Compare a sentence's entities with what its rows decode to: first word, bounds and symbols of each."""
        expected, found = set(gold), set()
        for offset, bounds, symbols in written:
            decoded = self.codec.decode(symbols, bounds)
            found.update(entity.shifted(offset) for entity in decoded.entities)
        n_right = len(expected & found)
        self.right += n_right
        self.missed += len(expected) - n_right
        self.wrong += len(found) - n_right

    @property
    def f(self) -> float:
        """F1 in percent."""
        total = 2 * self.right + self.missed + self.wrong
        return 200.0 * self.right / total if total else 100.0
