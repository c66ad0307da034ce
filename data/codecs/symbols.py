"""The pointer vocabulary: the meaning of the symbols in a target, and the embedding rows of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from genner.errors import ConfigError, DataFormatError

__all__ = ["BOS", "EOS", "PointerVocab", "label_token", "label_token_ids"]

BOS = 0
EOS = 1
_FIRST_LABEL = 2


@dataclass(frozen=True)
class PointerVocab:
    """Symbols of a label set: 0 BOS, 1 EOS, then the labels in order, then one pointer per source piece position.

    Yan et al. (2021), section 3.1, https://arxiv.org/abs/2106.01223

    >>> vocab = PointerVocab(("LOC", "PER"))
    >>> vocab.shift, vocab.label_id("PER"), vocab.pointer_id(3), vocab.kind(7)
    (4, 3, 7, 'pointer')
    """

    labels: tuple[str, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "_ids", {tag: _FIRST_LABEL + idx for idx, tag in enumerate(self.labels)})
        if len(self._ids) != len(self.labels):
            raise ConfigError(f"labels: a tag occurs twice in {list(self.labels)}. Expected every tag once.")

    @property
    def shift(self) -> int:
        """The pointer to source position 0, which is the leading special piece if there is one."""
        return _FIRST_LABEL + len(self.labels)

    def label_id(self, tag: str) -> int:
        """Symbol of a label; raises :class:`DataFormatError` naming the known labels."""
        try:
            return self._ids[tag]
        except KeyError:
            raise DataFormatError(
                f"label {tag!r} is not in the label set. Expected one of {list(self.labels)}. "
                "Collect the labels over all splits, or correct the tag."
            ) from None

    def label_of(self, symbol: int) -> str:
        """Label of a label symbol."""
        return self.labels[symbol - _FIRST_LABEL]

    def pointer_id(self, position: int) -> int:
        """Symbol that points to a source piece position, counted from the first piece, specials included."""
        return self.shift + position

    def kind(self, symbol: int) -> Literal["bos", "eos", "label", "pointer"]:
        """The kind of ``symbol``."""
        if symbol >= self.shift:
            return "pointer"
        return ("bos", "eos")[symbol] if symbol < _FIRST_LABEL else "label"


def label_token(words: str) -> str:
    """The token that stands for a label in the backbone's vocabulary.

    >>> label_token("cell_line")
    '<<cell_line>>'
    """
    return f"<<{words}>>"


def label_token_ids(n_base: int, words: Sequence[str], compat: bool) -> list[int]:
    """Rows of the shared embedding that belong to the labels, in label order.

    Args:
        n_base: rows of the checkpoint's vocabulary, ``len(tokenizer)`` before anything is added.
        words: natural words of each label, in label order.
        compat: number the tokens as the reference does: longest first, ties in label order.

    >>> label_token_ids(1500, ["location", "person", "organization", "others"], compat=True)
    [1501, 1502, 1500, 1503]
    """
    if not compat:
        return list(range(n_base, n_base + len(words)))
    if len(set(words)) != len(words):
        raise ConfigError(
            f"labels: two labels have the same words in {list(words)}. Expected different words for every label "
            "with compat: reference, where a label is a token. Change one of them, or drop compat."
        )
    by_length = sorted(range(len(words)), key=lambda label_idx: -len(words[label_idx]))
    ids = [0] * len(words)
    for rank, label_idx in enumerate(by_length):
        ids[label_idx] = n_base + rank
    return ids
