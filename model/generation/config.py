"""Options of the constrained search."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genner.errors import ConfigError

__all__ = ["STRUCTURES", "UNITS", "GenerationConfig"]

UNITS = ("word", "span", "bpe", "span_bpe")
STRUCTURES = ("flat", "nested", "discontinuous")


@dataclass(frozen=True)
class GenerationConfig:
    """How symbols are chosen. All problems of a configuration are reported in one :class:`ConfigError`.

    Attributes:
        max_len: constant part of the length limit, which counts BOS and EOS.
        max_len_ratio: additional length limit per source piece (specials included).
        num_beams: 1 searches greedily.
        length_penalty: beam: a hypothesis' log-probability is divided by ``length ** length_penalty``; greedy: every
            log-probability but EOS's is divided by ``written ** length_penalty``. 1 has no effect on greedy search.
        repetition_penalty: CTRL's rule (Keskar et al. 2019, https://arxiv.org/abs/1909.05858) on symbols already
            written; 1 is off.
        constrained: only legal sequences (:class:`~genner.model.generation.constraints.PointerConstraint`).
        eos_penalty: subtracted from the logit of EOS where symbols are chosen: above 0, the search writes on where it
            is unsure whether that was all, until it repeats itself. Log-probabilities stay those of the model.
        masked: constrained: the model was trained to know what is allowed, so probabilities are those among these
            symbols, and there is nothing to give up.
        structure: kind of entities that the constraint allows: ``flat``, ``nested`` or ``discontinuous``.
        give_up: constrained: probability of all allowed symbols together below which the search gives up on the open
            group, see :class:`~genner.model.generation.choice.Choice`; 0 never does, 1 always does.
        compat: results as the reference implementation returns them (an empty result is ``[0, 1, 1]``).
        draft_len: greedy: maximum number of symbols drafted and then verified in one pass, if the model can draft; 0
            turns drafts off. The results are the same.
        draft_rows: greedy: maximum number of symbols drafted for all sentences of a pass together: the larger the
            decoding batch, the shorter the drafts.
        n_best: hypotheses kept per sentence, at most ``num_beams``.

    >>> GenerationConfig(max_len=10, max_len_ratio=0.6).limits(torch.tensor([5, 9])).tolist()
    [13, 15]
    """

    max_len: int = 10
    max_len_ratio: float = 0.0
    num_beams: int = 1
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    constrained: bool = True
    eos_penalty: float = 0.0
    masked: bool = False
    structure: str = "discontinuous"
    give_up: float = 0.0
    compat: bool = False
    draft_len: int = 0
    draft_rows: int = 20
    n_best: int = 1

    def __post_init__(self) -> None:
        rules = (
            (self.max_len >= 2, "max_len", "an integer of at least 2: BOS and EOS count"),
            (self.max_len_ratio >= 0, "max_len_ratio", "a number of at least 0"),
            (self.num_beams >= 1, "num_beams", "an integer of at least 1"),
            (self.repetition_penalty > 0, "repetition_penalty", "a number above 0 (1 is off)"),
            (self.structure in STRUCTURES, "structure", f"one of {', '.join(STRUCTURES)}"),
            (self.eos_penalty >= 0, "eos_penalty", "a number of at least 0"),
            (0 <= self.give_up <= 1, "give_up", "a probability from 0 (never) to 1 (always)"),
            (self.draft_len >= 0, "draft_len", "an integer of at least 0"),
            (1 <= self.n_best <= max(self.num_beams, 1), "n_best", f"1 to num_beams ({self.num_beams})"),
        )
        wrong = [f"{name} is {getattr(self, name)!r}. Expected {what}." for good, name, what in rules if not good]
        if wrong:
            raise ConfigError("generation: " + " ".join(wrong))

    def n_drafts(self, n_sentences: int) -> int:
        """Symbols to draft per sentence with ``n_sentences`` in the decoding batch."""
        if self.length_penalty != 1.0 or self.repetition_penalty != 1.0:
            return 0  # scores depend on earlier symbols, which drafts would change
        return min(self.draft_len, self.draft_rows // n_sentences)

    def limits(self, src_seq_len: Tensor) -> Tensor:
        """Longest sequences, BOS and EOS included.

        Args:
            src_seq_len: (B,) source pieces, specials included.

        Returns:
            (B,) ``max_len + floor(src_seq_len * max_len_ratio)``, the product in float32, as in the reference.
        """
        return self.max_len + (src_seq_len.to(torch.float32) * self.max_len_ratio).floor().long()
