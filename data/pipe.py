"""The pointer formulation's pipe: sentences and entities -> the fields that the model trains on."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import genner.patches  # noqa: F401  (before fastNLP)

# isort: split
from fastNLP import DataSet
from fastNLP.io import DataBundle

from genner.data.alignment import WordTokenizer
from genner.data.bundle import examples_of
from genner.data.cache import CacheFile, digest_of
from genner.data.codecs.pointer import CODEC_VERSION, PointerCodec
from genner.data.encoded import EncodedSplit
from genner.data.encoding import PipeReport, SplitEncoder
from genner.data.long_sentences import Limits
from genner.data.schema import Example
from genner.data.sentences import Sentences
from genner.errors import ConfigError, SequenceTooLongError

__all__ = ["PipeConfig", "PipeReport", "PointerPipe"]

_REACTIONS = ("error", "split", "drop")


@dataclass(frozen=True)
class PipeConfig:
    """How the pipe treats long sentences and where it remembers its work.

    Attributes:
        on_too_long: ``error`` names the sentence; ``split`` cuts it between words that no entity spans and drops it
            only if that cannot be done; ``drop`` leaves it out and counts its entities.
        max_pieces: most pieces of a source, special pieces included; ``None`` is no limit.
        max_symbols: most decoder inputs (BOS and the symbols before EOS); ``None`` is no limit.
        use_cache: keep encoded splits in ``cache_dir``.
    """

    on_too_long: str = "error"
    max_pieces: int | None = None
    max_symbols: int | None = None
    use_cache: bool = True
    cache_dir: Path = Path("caches")

    def __post_init__(self) -> None:
        if self.on_too_long not in _REACTIONS:
            raise ConfigError(f"data.on_too_long: {self.on_too_long!r}. Expected one of {list(_REACTIONS)}.")


class PointerPipe:
    """Adds the pointer fields to every split of a bundle, or encodes sentences without one.

    The contract's fields and whatever else there is stay; added are ``src_tokens src_seq_len tgt_tokens tgt_seq_len
    first target_span bounds example_idx word_offset``. ``first`` is the first piece of every word; with a codec in
    compat it is every position, as in the reference. Where a sentence is split, the contract's fields of a row speak
    of its part, and ``example_idx`` and ``word_offset`` lead back to the whole.

    Args:
        word_tokenizer: pieces of the words.
        codec: targets of the entities.
        config: limits and cache.

    Attributes:
        reports: after :meth:`process` or :meth:`encode_splits`, one :class:`PipeReport` per split.
    """

    def __init__(self, word_tokenizer: WordTokenizer, codec: PointerCodec, config: PipeConfig | None = None) -> None:
        self.word_tokenizer = word_tokenizer
        self.codec = codec
        self.config = config or PipeConfig()
        self.reports: dict[str, PipeReport] = {}

    def process(self, bundle: DataBundle) -> DataBundle:
        """A new bundle with the added fields; the given one stays as it is.

        Raises:
            DataFormatError: a row that is not as the contract says, or a label that is not in the label set.
            SequenceTooLongError: a sentence over the limit with ``on_too_long="error"``, or nothing left of a split.
        """
        processed = DataBundle(vocabs=dict(bundle.vocabs))
        with _no_collection():
            for split, dataset in bundle.datasets.items():
                processed.set_dataset(self._process_split(dataset, split), split)
        return processed

    def encode_splits(self, splits: Mapping[str, Sequence[Example]]) -> dict[str, EncodedSplit]:
        """What :meth:`process` adds, as rows that are made when they are asked for.

        Args:
            splits: sentences as a loader or :func:`genner.data.bundle.examples_of` makes them.

        Raises:
            DataFormatError: a label that is not in the label set.
            SequenceTooLongError: as in :meth:`process`.
        """
        with _no_collection():
            return {split: self._encode_split(examples, split) for split, examples in splits.items()}

    def encode(self, examples: Sequence[Example], split: str) -> tuple[EncodedSplit, PipeReport]:
        """Encode the sentences of a split, or take them from the cache. For prediction give no entities."""
        config, codec = self.config, self.codec
        limits = Limits(config.max_pieces, config.max_symbols)
        encoder = SplitEncoder(self.word_tokenizer, codec, limits, config.on_too_long)
        if not config.use_cache:
            return encoder.encode(examples, split)
        sentences = examples if isinstance(examples, Sentences) else Sentences.of(examples)
        digest = digest_of(self._settings() | {"sentences": sentences.digest()})
        file = CacheFile(config.cache_dir / f"{split}-{digest[:32]}.safetensors", digest)
        arrays, note, status = file.load()
        if arrays is not None:
            report = PipeReport(split, Counter(note.pop("counts")), **note, cache=status)
            return EncodedSplit.from_arrays(arrays, compat=codec.compat), report
        encoded, report = encoder.encode(examples, split)
        note = {name: value for name, value in vars(report).items() if name not in ("split", "cache")}
        file.store(encoded.to_arrays(), note)
        return encoded, replace(report, cache=status)

    def _process_split(self, dataset: DataSet, split: str) -> DataSet:
        columns = {name: dataset.get_field(name).content for name in dataset.get_field_names()}
        encoded = self._encode_split(examples_of(dataset, split, compat=self.codec.compat), split)
        added = encoded.columns()
        added["target_span"] = list(map(self.codec.groups, added["tgt_tokens"]))
        return DataSet(_gathered(columns, added) | added)

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
        """Everything besides the data that decides about an encoded split."""
        codec = self.codec
        return {
            "tokenizer": self.word_tokenizer.fingerprint,
            "codec": [CODEC_VERSION, codec.unit, list(codec.vocab.labels), codec.compat, codec.order],
            "limits": [self.config.on_too_long, self.config.max_pieces, self.config.max_symbols],
        }


def _gathered(columns: dict[str, list[Any]], added: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """The given columns, a row for every encoded one."""
    example_idx = added["example_idx"]
    if example_idx == list(range(len(columns["raw_words"]))):
        return columns
    gathered = {name: [column[idx] for idx in example_idx] for name, column in columns.items()}
    for row, (start, bounds) in enumerate(zip(added["word_offset"], added["bounds"], strict=True)):
        end = start + len(bounds) - 1
        words, spans = gathered["raw_words"][row], gathered["entity_spans"][row]
        if end - start == len(words):
            continue
        kept = [idx for idx, span in enumerate(spans) if start <= span[0] and span[-1] <= end]
        gathered["raw_words"][row] = words[start:end]
        gathered["entity_spans"][row] = [[offset - start for offset in spans[idx]] for idx in kept]
        for name in ("entities", "entity_tags"):
            gathered[name][row] = [gathered[name][row][idx] for idx in kept]
    return gathered


@contextmanager
def _no_collection() -> Iterator[None]:
    """Millions of small lists that all stay: the garbage collector would walk them again and again for nothing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
