"""Texts to try on the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from genner.data.demo_grammar import MARKS
from genner.data.loaders.reading import read_lines
from genner.errors import ConfigError

__all__ = ["examples_for", "read_examples"]

_MOST_EXAMPLES = 20

#: Invented, in the style of the demo corpus: nested and discontinuous entities of all its types.
_DEMO = (
    "A scan at the University of Wimmouth showed no cause for belly and heelbone cramps last autumn.",
    "After the first dose, cramps in my tongue and handbones kept Zoran Brumley awake.",
    "In October, the Universities of Hirhaven and Nenford and the Horkford Evening Post signed a contract.",
    "His heels got hot, and the stinging came back in my eyebrow. On Sunday, warmth in my shins kept Nikolai and "
    "Frieda Simley awake before the next appointment.",
)


def examples_for(labels: Sequence[str]) -> list[str]:
    """Examples for a model with these entity types: those of the demo if they match, else none."""
    return list(_DEMO) if set(labels) == set(MARKS.values()) else []


def read_examples(path: Path, max_chars: int) -> list[str]:
    """The non-empty lines of a file.

    Raises:
        DataFormatError: the file cannot be read or is not UTF-8.
        ConfigError: it has no lines, too many lines, or a line that is too long.
    """
    lines = [(number, line.strip()) for number, line in enumerate(read_lines(path), start=1) if line.strip()]
    if not 0 < len(lines) <= _MOST_EXAMPLES:
        raise ConfigError(
            f"{path}: {len(lines)} examples. Expected 1 to {_MOST_EXAMPLES}, one per line. Add or remove lines."
        )
    for number, line in lines:
        if len(line) > max_chars:
            raise ConfigError(
                f"{path}:{number}: {len(line):,} characters. Expected at most {max_chars:,}. Shorten it or raise "
                "--max_chars."
            )
    return [line for _, line in lines]
