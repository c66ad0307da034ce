"""How texts are read: the options of a recogniser, checked."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, get_type_hints

from genner.errors import ConfigError, InputTypeError

__all__ = ["PredictOptions"]

PASSAGES = ("sentence", "document")

_SMALLEST_WINDOW = 16


@dataclass(frozen=True)
class PredictOptions:
    """How texts are read.

    Attributes:
        language: spaCy's code of the language, for words and sentences; ``xx`` for any language.
        words: ``spacy``; ``plain``: the rules with which ``genner prepare`` makes corpora; ``blanks``: words are
            separated by white space, sentences by line ends.
        passage: what the model reads at once: a ``sentence``, or the ``document`` in windows as large as it takes.
        window: the most that the model reads at once, in its own units, such as pieces; None: what it was trained on.
        overlap: words that windows of a passage share; None: half a window. Entities up to this length are found.
        batch_size: windows that are decoded at once.
        calibrated: make scores probabilities, if the model folder has a calibration of such scores.
        min_score: entities below it are left out; None: those below the least scores that were best on dev.
        alpha: miss at most this share of a sentence's entities, on average: all candidates above a threshold are
            returned. The misses of the model must have been measured.
        max_chars: longer texts are refused.
        chunk_words: texts of about so many words are read together; more use the decoder better and need more memory.
        device: ``cpu``, ``cuda``, ``cuda:1`` ...; ``auto`` takes a GPU if there is one.
    """

    language: str = "en"
    words: str = "spacy"
    passage: str = "sentence"
    window: int | None = None
    overlap: int | None = None
    batch_size: int = 64
    calibrated: bool = True
    min_score: float | None = None
    alpha: float | None = None
    max_chars: int = 1_000_000
    chunk_words: int = 20_000
    device: str = "auto"

    def __post_init__(self) -> None:
        wrong = [
            f"{name} is {getattr(self, name)!r}. Expected {_TYPE_NAMES[kind]}."
            for name, kind in get_type_hints(type(self)).items()
            if not _is_of(getattr(self, name), kind)
        ]
        if wrong:
            raise InputTypeError("\n".join(wrong))
        rules = (
            (self.passage in PASSAGES, "passage", f"one of {', '.join(PASSAGES)}"),
            (self.window is None or self.window >= _SMALLEST_WINDOW, "window", f"at least {_SMALLEST_WINDOW} pieces"),
            (self.overlap is None or self.overlap >= 0, "overlap", "0 words or more"),
            (self.batch_size >= 1, "batch_size", "1 or more"),
            (self.min_score is None or 0 <= self.min_score <= 1, "min_score", "a number from 0 to 1"),
            (self.max_chars >= 1, "max_chars", "1 or more"),
            (self.chunk_words >= 1, "chunk_words", "1 or more"),
        )
        wrong = [f"{name} is {getattr(self, name)!r}. Expected {what}." for good, name, what in rules if not good]
        if wrong:
            raise ConfigError("\n".join(wrong))


_TYPE_NAMES = {
    str: "a string", int: "a whole number", float: "a number", bool: "True or False",
    int | None: "a whole number or None", float | None: "a number or None",
}  # fmt: skip


def _is_of(value: Any, kind: Any) -> bool:
    """Whether an option has its type; numbers of numpy are numbers, too."""
    if value is None:
        return kind in (int | None, float | None)
    if isinstance(value, bool):
        return kind is bool
    numbers = {int: Integral, int | None: Integral, float: Real, float | None: Real}
    return isinstance(value, numbers.get(kind, kind))
