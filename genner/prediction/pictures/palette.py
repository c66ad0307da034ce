"""Looks of labels: ten colours, then the same colours with other strokes; which label looks how is always the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from zlib import crc32

__all__ = ["COLOURS", "DOTTED", "TEXTURES", "Looks", "looks"]

#: Of a label the number of its colour and of its texture.
Looks = Mapping[str, tuple[int, int]]

#: Equally light, so that white text is readable upon them (4.5 : 1, WCAG AA) and they stand out from white as well as
#: from the backgrounds of dark pages (3 : 1). No colour carries a meaning of its own: the label is always written.
COLOURS = (
    "#0078cd", "#d14600", "#00855d", "#b8508c", "#8e7200", "#8658d5", "#048199", "#db314d", "#4a8421", "#6c7683",
)  # fmt: skip
#: Strokes: one line, two lines, with grey stripes, two thin lines. None has holes: those are interruptions.
TEXTURES = ("plain", "double", "striped", "rail")
#: What a line with holes means.
DOTTED = "not part of the entity, which goes on after it"


def looks(labels: Sequence[str], seen: Iterable[str]) -> Looks:
    """The look of every label: a number of :data:`COLOURS` and one of :data:`TEXTURES`.

    Args:
        labels: the label set; its order decides, so that a label looks the same in every picture.
        seen: labels that have to have a look. One that is not in ``labels`` gets a look by its name, or the next
            one that is free.

    Returns:
        The looks, ``labels`` first. Beyond 40 labels looks repeat.
    """
    n_looks = len(COLOURS) * len(TEXTURES)
    numbers = {label: number % n_looks for number, label in enumerate(dict.fromkeys(labels))}
    for label in sorted(set(seen) - set(numbers)):
        first, taken = crc32(label.encode("utf-8", "replace")) % len(COLOURS), set(numbers.values())
        wanted = [n - n % len(COLOURS) + (first + n) % len(COLOURS) for n in range(n_looks)]
        numbers[label] = next((number for number in wanted if number not in taken), wanted[0])
    return {label: (number % len(COLOURS), number // len(COLOURS)) for label, number in numbers.items()}
