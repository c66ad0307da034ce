"""What was changed, repaired or left out on the way, counted by reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Tally"]

N_PLACES = 5  # how many places are named per reason


@dataclass
class Tally:
    """Counts by reason, with the first places of each."""

    counts: Counter[str] = field(default_factory=Counter, kw_only=True)
    places: dict[str, list[str]] = field(default_factory=dict, kw_only=True)

    def add(self, reason: str, place: str, count: int = 1) -> None:
        """Count ``reason``; ``place`` is a file and what helps to find it there."""
        self.counts[reason] += count
        places = self.places.setdefault(reason, [])
        if len(places) < N_PLACES and place not in places:
            places.append(place)

    def merge(self, other: Tally) -> None:
        """Take over what another one counted."""
        for reason, count in other.counts.items():
            self.add(reason, other.places[reason][0], count)
            for place in other.places[reason][1:]:
                self.add(reason, place, 0)

    def lines(self) -> list[str]:
        """One line of text per reason, the most frequent first."""
        texts = []
        for reason, count in self.counts.most_common():
            places = self.places[reason]
            more = ", ..." if len(places) == N_PLACES < count else ""
            texts.append(f"{count:,} x {reason} ({', '.join(places)}{more})")
        return texts
