"""All benchmarks, one after the other (``make bench`` or ``python -m benchmarks.run``).

Writes ``benchmarks/latest.json``: ``{name: {"value", "unit", "goal", "holds"}}``. A goal is a minimum for sentences
per second, times and shares, and a maximum for ratios, seconds, megabytes, graphs and errors; null means that there is
no goal. A missed goal does not make the command fail.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import batches, compiled_step, decoding, loading, pipe, predicting, serving, texts, training_step
from benchmarks.command import Measure, Settings, run_command

__all__ = ["main", "measure"]


def measure(settings: Settings) -> list[Measure]:
    """The measures of all benchmarks."""
    parts = (pipe, loading, training_step, batches, compiled_step, decoding, predicting, texts, serving)
    return [found for part in parts for found in part.measure(settings)]


def main(argv: Sequence[str] | None = None) -> None:
    """Print all tables and write the JSON file."""
    run_command("latest", measure, __doc__, argv)


if __name__ == "__main__":
    main()
