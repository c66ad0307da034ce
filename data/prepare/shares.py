"""Splits of our own: documents or rows go to train, dev and test by shares, the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from genner.data.prepare.request import SPLITS
from genner.errors import ConfigError

__all__ = ["USUAL", "advice", "by_shares", "check_shares", "in_words"]

#: Percent of train, dev and test, where nobody says otherwise.
USUAL = (70.0, 15.0, 15.0)


def by_shares(names: Iterable[str], shares: Sequence[float] = USUAL, *, seed: int = 0) -> dict[str, str]:
    """Name -> split, in the order of a digest of the names.

    Every split with a share gets at least one, as long as there are enough.

    Args:
        names: of documents or rows.
        shares: of train, dev and test, in any unit.
        seed: another one gives another split.
    """
    ordered = sorted(set(names), key=lambda name: hashlib.sha256(f"{seed or ''}{name}".encode()).digest())
    ends = [round(len(ordered) * sum(shares[: n + 1]) / sum(shares)) for n in range(len(shares))]
    sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    for n, share in enumerate(shares):
        largest = max(range(len(sizes)), key=lambda other: sizes[other])
        if share and not sizes[n] and sizes[largest] > 1:
            sizes[largest] -= 1
            sizes[n] = 1
    result: dict[str, str] = {}
    for split, size in zip(SPLITS, sizes, strict=True):
        result |= dict.fromkeys(ordered[len(result) : len(result) + size], split)
    return result


def in_words(shares: Sequence[float]) -> str:
    """Shares as they stand on the command line.

    >>> in_words((80.0, 10.0, 10.0))
    '--shares 80 10 10'
    """
    return f"--shares {' '.join(f'{share:g}' for share in shares)}"


def advice(missing: Sequence[str], n_items: int) -> str:
    """What to write where splits are missing: an option that works.

    Args:
        missing: the splits.
        n_items: how many documents or rows could be divided.

    >>> advice(["dev"], 100)
    '--shares 80 10 0 (0 for a split that you do not want)'
    >>> advice(["dev", "test"], 2)
    '--shares 100 0 0, which leaves them out'
    """
    if n_items <= len(missing):
        return "--shares 100 0 0, which leaves them out"
    parts = [10.0 if split in missing else 0.0 for split in SPLITS[1:]]
    return f"{in_words((80.0, *parts))} (0 for a split that you do not want)"


def check_shares(shares: Sequence[float], own: Mapping[str, str]) -> None:
    """Refuse shares for a split that the source has itself.

    Args:
        shares: of train, dev and test.
        own: split -> what holds it in the source.

    Raises:
        ConfigError: there is such a split.
    """
    twice = [split for split, share in zip(SPLITS, shares, strict=True) if share and split in own and split != "train"]
    if twice:
        fitting = " ".join(f"{0 if split in twice else share:g}" for split, share in zip(SPLITS, shares, strict=True))
        raise ConfigError(
            f"--shares: {' and '.join(f'{split} is there ({own[split]})' for split in twice)}. Expected 0 for it, "
            f"since shares divide what else is there. Give --shares {fitting}."
        )
