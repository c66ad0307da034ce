"""The pipe of the pointer formulation: sentences with entities -> the fields that the model is trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genner.data.alignment import CHUNK, WordAlignment, WordTokenizer
from genner.data.cache import CacheFile, CacheStatus, digest_of
from genner.data.codecs.pointer import CODEC_VERSION, PointerCodec, Target
from genner.data.columns import Sentences
from genner.data.encoded import EncodedSplit, SplitBuilder
from genner.data.long_sentences import Limits, cut_sentence
from genner.data.schema import Entity, Example, entities_within
from genner.errors import ConfigError, DataFormatError, SequenceTooLongError

__all__ = ["PipeConfig", "PipeReport", "PointerPipe"]

_REACTIONS = ("error", "split", "drop")
_SUMMARISED = ("sentences", "words", "entities", "rows")
_Row = tuple[int, WordAlignment, Target]  # first word of the row in its sentence, source, target


@dataclass(frozen=True)
class PipeConfig:
    """Treatment of long sentences, and the cache.

    Attributes:
        on_too_long: ``error`` names the sentence; ``split`` cuts it between words without cutting an entity, and drops
            it only if that is impossible; ``drop`` drops it and counts its entities.
        max_pieces: limit on source pieces, special pieces included; None: no limit.
        max_symbols: limit on decoder inputs (BOS and the symbols before EOS); None: no limit.
        use_cache: keep encoded splits in ``cache_dir``.
    """

    on_too_long: str = "error"
    max_pieces: int | None = None
    max_symbols: int | None = None
    use_cache: bool = True
    cache_dir: Path = Path("caches")

    def __post_init__(self) -> None:
        if self.on_too_long not in _REACTIONS:
            raise ConfigError(
                f"data.on_too_long: {self.on_too_long!r}. Expected one of {list(_REACTIONS)}. Choose one of them."
            )


@dataclass
class PipeReport:
    """What happened to one split.

    Attributes:
        counts: ``sentences words entities rows`` and, if they occur, ``unknown_words`` (without a piece),
            ``lookalikes`` (words that contain the text of a special piece), ``split_sentences``,
            ``dropped_sentences``, ``dropped_entities``, ``oracle_missed`` and ``oracle_wrong`` (entities).
        longest_source, longest_target: pieces and symbols of the longest row.
        oracle_f: F1 in percent of the decoded targets against all gold entities, including those of dropped sentences;
            100 if there are no entities.
        cache: whether the split came from the cache, see :mod:`genner.data.cache`.
    """

    split: str
    counts: Counter[str] = field(default_factory=Counter)
    longest_source: int = 0
    longest_target: int = 0
    oracle_f: float = 100.0
    cache: CacheStatus = "off"


class PointerPipe:
    """Encodes sentences as rows with the fields of the pointer model.

    The fields are ``src_tokens src_seq_len tgt_tokens tgt_seq_len first bounds example_idx word_offset``. ``first`` is
    the first piece of every word; with a codec in compat mode it is every position, as in the reference. A long
    sentence may become several rows: ``example_idx`` and ``word_offset`` refer to the whole sentence.

    Args:
        word_tokenizer: pieces of the words.
        codec: targets of the entities.
        config: limits and cache.

    Attributes:
        reports: after :meth:`encode_splits`, one :class:`PipeReport` per split.
    """

    def __init__(self, word_tokenizer: WordTokenizer, codec: PointerCodec, config: PipeConfig | None = None) -> None:
        self.word_tokenizer = word_tokenizer
        self.codec = codec
        self.config = config or PipeConfig()
        self.limits = Limits(self.config.max_pieces, self.config.max_symbols)
        self.reports: dict[str, PipeReport] = {}

    def encode_splits(self, splits: Mapping[str, Sequence[Example]]) -> dict[str, EncodedSplit]:
        """Encode all splits; rows are built on access.

        Args:
            splits: sentences as returned by a loader or :func:`genner.data.bundle.examples_of`.

        Raises:
            DataFormatError: a label that is not in the label set.
            SequenceTooLongError: a sentence over the limit with ``on_too_long="error"``, or a split left empty.
        """
        return {split: self._encode_split(examples, split) for split, examples in splits.items()}

    def encode(self, examples: Sequence[Example], split: str) -> tuple[EncodedSplit, PipeReport]:
        """Encode the sentences of a split, or read them from the cache. For prediction, give no entities."""
        if not self.config.use_cache:
            return self._encode_fresh(examples, split)
        sentences = examples if isinstance(examples, Sentences) else Sentences.of(examples)
        digest = digest_of(self._settings() | {"sentences": sentences.digest()})
        file = CacheFile(self.config.cache_dir / f"{split}-{digest[:32]}.safetensors", digest)
        arrays, note, status = file.load()
        if arrays is not None:
            report = PipeReport(split, Counter(note.pop("counts")), **note, cache=status)
            return EncodedSplit.from_arrays(arrays, compat=self.codec.compat), report
        encoded, report = self._encode_fresh(examples, split)
        note = {name: value for name, value in vars(report).items() if name not in ("split", "cache")}
        file.store(encoded.to_arrays(), note)
        report.cache = status
        return encoded, report

    def _encode_split(self, examples: Sequence[Example], split: str) -> EncodedSplit:
        encoded, self.reports[split] = self.encode(examples, split)
        if not len(encoded):
            raise SequenceTooLongError(
                f"{split}: all {len(examples)} sentences are too long and were dropped. Expected sentences within "
                f"{self.config.max_pieces} pieces. Set data.on_too_long to split, or use a backbone with more "
                "positions."
            )
        return encoded

    def _settings(self) -> dict[str, Any]:
        """Everything besides the data that affects an encoded split."""
        codec = self.codec
        return {
            "tokenizer": self.word_tokenizer.fingerprint,
            "codec": [CODEC_VERSION, codec.unit, list(codec.vocab.labels), codec.compat, codec.order],
            "limits": [self.config.on_too_long, self.config.max_pieces, self.config.max_symbols],
        }

    def _encode_fresh(self, examples: Sequence[Example], split: str) -> tuple[EncodedSplit, PipeReport]:
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
        if self.config.on_too_long == "error":
            raise SequenceTooLongError(
                f"{report.split}, sentence {idx + 1}: {len(alignment.piece_ids)} pieces and {len(target.symbols) - 1} "
                f"decoder inputs. Expected at most {self.limits}. Set data.on_too_long to split or drop, or use a "
                "backbone with more positions."
            )
        parts = self._cut(alignment, gold) if self.config.on_too_long == "split" else None
        if parts is None:
            report.counts["dropped_sentences"] += 1
            report.counts["dropped_entities"] += len(gold)
            return []
        report.counts["split_sentences"] += 1
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
