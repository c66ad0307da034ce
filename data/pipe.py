"""The pipe of the pointer formulation: sentences with entities -> the fields that the model is trained on."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genner.data.alignment import WordTokenizer
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
            raise ConfigError(f"data.on_too_long: {self.on_too_long!r}. Expected one of {list(_REACTIONS)}.")


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
        self.reports: dict[str, PipeReport] = {}

    def encode_splits(self, splits: Mapping[str, Sequence[Example]]) -> dict[str, EncodedSplit]:
        """Encode all splits; rows are built on access.

        Args:
            splits: sentences as returned by a loader or :func:`genner.data.bundle.examples_of`.

        Raises:
            DataFormatError: a label that is not in the label set.
            SequenceTooLongError: a sentence over the limit with ``on_too_long="error"``, or a split left empty.
        """
        with _no_collection():
            return {split: self._encode_split(examples, split) for split, examples in splits.items()}

    def encode(self, examples: Sequence[Example], split: str) -> tuple[EncodedSplit, PipeReport]:
        """Encode the sentences of a split, or read them from the cache. For prediction, give no entities."""
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


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without garbage collection, which would scan millions of small live lists again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
