"""The block ``pointer`` of a recipe, and what of it may be changed when a trained model is opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, ClassVar

from genner.settings import FormulationSettings

__all__ = ["OpenSettings", "Settings"]


_SAMPLED_PREFIX = 0.15  # see docs/search.md


class Unit(Enum):
    """Target type: what the pointers of an entity point at."""

    word = "word"
    span = "span"
    bpe = "bpe"
    span_bpe = "span_bpe"


class Order(Enum):
    """In which order the entities of a sentence are written."""

    position = "position"
    shuffled = "shuffled"


class LabelWords(Enum):
    """What initialises a label's embedding."""

    words = "words"
    tags = "tags"


class DecoderType(Enum):
    """How source states and source embeddings are combined in the pointer scores."""

    none = "none"
    avg_score = "avg_score"
    avg_feature = "avg_feature"


@dataclass(frozen=True)
class _Search(FormulationSettings):
    """How answers are searched."""

    max_len: int = 20  # limit = max_len + max_len_ratio * source pieces, BOS and EOS included
    max_len_ratio: float = 1.5
    num_beams: int = 1
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    draft_len: int = 6  # greedy: most symbols drafted at once, where the model has a head for it; 0 drafts none
    draft_rows: int = 20  # most symbols drafted at once for all sentences together
    eos_penalty: float | None = None  # above 0, the constrained search goes on where unsure; default: by dev
    constrained: bool | None = None  # default: yes, but for compat: reference
    give_up: float | None = None  # probability of what is allowed below which a group is given up; default: by dev

    def problems(self, recipe: Any = None) -> Iterator[str]:
        """See :meth:`FormulationSettings.problems`."""
        if self.max_len < 2:
            yield f"max_len is {self.max_len}. Expected at least 2: BOS and EOS count. Raise it."
        if self.max_len_ratio < 0:
            yield f"max_len_ratio is {self.max_len_ratio}. Expected 0 or more. Raise it."
        if self.eos_penalty is not None and not self.eos_penalty >= 0:
            yield f"eos_penalty is {self.eos_penalty}. Expected 0 or more. Raise it."
        if self.give_up is not None and not 0 <= self.give_up <= 1:
            yield f"give_up is {self.give_up}. Expected 0 (never) to 1 (always). Change it."
        for key in ("num_beams", "repetition_penalty"):
            if not getattr(self, key) > 0:
                yield f"{key} is {getattr(self, key)}. Expected more than 0. Raise it."


@dataclass(frozen=True)
class OpenSettings(_Search):
    """What may be chosen when a trained model is opened: the search, and what a score is.

    Attributes:
        scores: what the score of an entity is, one of :data:`genner.model.entity_scores.SCORES`. For ``nbest`` the
            search keeps as many hypotheses as it has beams.
        candidates: ``nbest``: the entities of all hypotheses, each once, not only those of the best.
        form: of the linear layers on a CPU, see :func:`genner.model.linear.lighten`.
    """

    scores: str = "symbols"
    candidates: bool = False
    form: str = "float32"


@dataclass(frozen=True)
class Settings(_Search):
    """How the pointer model is built, trained and searched. The comments at the fields say what the values mean."""

    FREE: ClassVar[frozenset[str]] = frozenset({"draft_len", "draft_rows"})

    unit: Unit = Unit.word
    order: Order = Order.position  # shuffled: one that looks random, to see what the order is good for
    label_words: LabelWords = LabelWords.words  # those under `labels`, or the tags as they are
    decoder_type: DecoderType = DecoderType.avg_feature
    encoder_mlp: bool = True
    dropout: float = 0.3
    word_dropout: float = 0.0  # share of source words hidden in training; helps small corpora and random backbones
    sampled_prefix: float | None = None  # share of earlier symbols drawn from the model; default: 0.15 with masked
    masked: bool | None = None  # loss and scores are about what is allowed; default: flat and nested, without give_up
    draft_head: bool = True  # a head that drafts answers for the decoder to verify; the model itself stays the same

    def problems(self, recipe: Any = None) -> Iterator[str]:
        """See :meth:`FormulationSettings.problems`."""
        yield from super().problems(recipe)
        for key in ("dropout", "word_dropout", "sampled_prefix"):
            if not 0 <= (getattr(self, key) or 0) < 1:
                yield f"{key} is {getattr(self, key)}. Expected a share from 0 to below 1. Change it."
        if self.masked and (self.constrained is False or recipe.is_reference):
            yield "masked is true without the constraint. Expected what the search does. Remove one of them."
        if self.masked and self.give_up is not None:
            yield f"give_up is {self.give_up} with masked, where there is nothing to give up. Expected one. Remove one."
        if self.sampled_prefix and recipe.is_reference:
            yield "sampled_prefix is set with compat: reference, which has none. Expected one. Remove sampled_prefix."
        if self.order is Order.shuffled and recipe.is_reference:
            yield "order is shuffled with compat: reference, which keeps that of the file. Expected one. Remove order."

    def resolved(self, recipe: Any) -> Settings:
        """See :meth:`FormulationSettings.resolved`."""
        constrained = not recipe.is_reference if self.constrained is None else self.constrained
        masked = self.masked
        if masked is None:  # the more a kind forbids, the more there is to gain; see docs/search.md
            masked = constrained and self.give_up is None and recipe.kind.value != "discontinuous"
        sampled_prefix = (_SAMPLED_PREFIX if masked else 0.0) if self.sampled_prefix is None else self.sampled_prefix
        return replace(self, constrained=constrained, masked=masked, sampled_prefix=sampled_prefix)

    def describe(self) -> str:
        """The target type."""
        return self.unit.value
