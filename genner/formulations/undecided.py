"""What of a trained model's use is decided on dev."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["Undecided"]


class Undecided(NamedTuple):
    """A choice that dev decides.

    Attributes:
        values: that are compared with what is in force.
        doubt: a better one is taken if its p-value (of a permutation test, two-sided) is below this: 0.05 where nothing
            speaks for a change but dev, more where other data do.
    """

    values: Sequence[Any]
    doubt: float = 0.05
