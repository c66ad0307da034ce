"""Cost curves of prediction: how its time grows, compared with the expected law (``python -m benchmarks.curves``).

One thing is varied at a time: sentences, pieces of a sentence, symbols to write, beams, labels, slots. Prediction is
timed from piece ids to entities, the encoder included, on invented sentences whose gold targets it is forced to write
(:mod:`benchmarks.guided`), with the half-size model of the other benchmarks. The expected law is fitted to every curve
by least squared relative deviations; points and law are printed, drawn in ``docs/cost_curves.png`` and written to
``docs/cost_curves.json``.
"""

from __future__ import annotations

import json
import statistics
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

import torch

from benchmarks.command import Settings
from benchmarks.corpus import LABELS, draw_sentences
from benchmarks.laws import Curve, Series, draw
from benchmarks.models import LENGTHS, Shape
from benchmarks.predicting import Sides
from benchmarks.splits import EvaluationSplit, invented_split
from benchmarks.timing import interleave
from genner.data.schema import Entity, Example, Segment

__all__ = ["main", "measure"]

_ROOT = Path(__file__).resolve().parents[1]
_PICTURE, _QUICK_PICTURE = _ROOT / "docs" / "cost_curves.png", _ROOT / "benchmarks" / "cost_curves.quick.png"
_WORDS_WITH_ENTITIES = 12
_OURS = "prediction"


@dataclass(frozen=True)
class _Sizes:
    """The points of every curve, and the usual number of sentences."""

    n_sentences: int = 64
    sentences: tuple[int, ...] = (32, 64, 128, 192, 256)
    words: tuple[int, ...] = (12, 25, 50, 100, 150, 200, 300)
    entities: tuple[int, ...] = (0, 2, 4, 8, 12)
    beams: tuple[int, ...] = (1, 2, 3, 4, 6, 8)
    labels: tuple[int, ...] = (2, 8, 32, 128)
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)

    @classmethod
    def quick(cls) -> _Sizes:
        """Enough to check that everything runs."""
        return cls(4, (2, 4), (12, 20), (0, 2), (1, 2), (2, 3), (1, 2))


@dataclass(frozen=True)
class _Point:
    """One measurement: x, the timed function, and the divisor of its milliseconds."""

    x: float
    run: Callable[[], None]
    n_units: float


class _Curves:
    """Curves of one model; every method measures one."""

    def __init__(self, shape: Shape, sizes: _Sizes, rounds: int) -> None:
        self.shape, self.sizes, self.rounds = shape, sizes, rounds
        drawn = draw_sentences(max(sizes.sentences), LENGTHS, seed=12)
        short = draw_sentences(sizes.n_sentences, (_WORDS_WITH_ENTITIES,), seed=13)
        filler = draw_sentences(1, (max(sizes.words),), seed=14)[0].words
        long = [_longer(example, filler, n_words) for n_words in sizes.words for example in short]
        plain = draw_sentences(sizes.n_sentences, (2 * max(sizes.entities),), seed=15)
        busy = [_with_entities(example, n) for n in sizes.entities for example in plain]
        self.split = invented_split([*drawn, *long, *busy], shape)
        rows = self.split.rows
        self.drawn, self.long = rows[: len(drawn)], rows[len(drawn) : len(drawn) + len(long)]
        self.busy = rows[len(drawn) + len(long) :]

    def sentences(self) -> Curve:
        """Total time."""
        points = [_Point(n, self._sides(self.drawn[:n]).ours(1), 1000.0) for n in self.sizes.sentences]
        return Curve("Sentences", "sentences", "CPU time in s", "linear", [self._time(_OURS, points)])

    def pieces(self) -> Curve:
        """Longer and longer sentences with the same entities."""
        n = self.sizes.n_sentences
        predicted, encoded = [], []
        for start in range(0, len(self.long), n):
            rows = self.long[start : start + n]
            sides, x = self._sides(rows), sum(len(row["src_tokens"]) for row in rows) / n
            predicted.append(_Point(x, sides.ours(1), n))
            encoded.append(_Point(x, sides.encode, n))
        series = [self._time(_OURS, predicted), self._time("encoder alone", encoded)]
        return Curve("Source length", "source pieces", "CPU ms per sentence", "quadratic", series)

    def symbols(self) -> Curve:
        """The same sentences with more and more entities."""
        n, points = self.sizes.n_sentences, []
        for start in range(0, len(self.busy), n):
            sides = self._sides(self.busy[start : start + n])
            points.append(_Point(sides.split.n_symbols / n, sides.ours(1), n))
        series = [self._time(_OURS, points)]
        return Curve("Target length", "target symbols", "CPU ms per sentence", "linear", series)

    def beams(self) -> Curve:
        """One beam is greedy search."""
        n = self.sizes.n_sentences
        sides = self._sides(self.drawn[:n])
        points = [_Point(n_beams, sides.ours(n_beams), n) for n_beams in self.sizes.beams]
        return Curve("Beams", "beams", "CPU ms per sentence", "linear", [self._time(_OURS, points)])

    def labels(self) -> Curve:
        """The same sentences with other labels."""
        points = []
        for n_labels in self.sizes.labels:
            drawn = draw_sentences(self.sizes.n_sentences, LENGTHS, seed=12)
            labels = [f"kind {number}" for number in range(n_labels)]
            split = invented_split(list(_relabelled(drawn, labels)), self.shape, labels)
            points.append(_Point(n_labels, Sides(split).ours(1), split.n_symbols))
        series = [self._time(_OURS, points)]
        return Curve("Labels", "labels", "CPU ms per symbol", "flat", series, is_log=True)

    def batches(self) -> Curve:
        """As many slots as a batch has sentences, and more sentences than slots."""
        points = []
        for size in self.sizes.batches:
            sides = Sides(self._part(self.drawn), size)
            points.append(_Point(size, sides.ours(1), sides.split.n_symbols))
        series = [self._time(_OURS, points)]
        return Curve(
            "Batch", "sentences decoded at once", "CPU ms per symbol", "falling to a floor", series, is_log=True
        )

    def _sides(self, rows: Sequence[dict]) -> Sides:
        return Sides(self._part(rows))

    def _part(self, rows: Sequence[dict]) -> EvaluationSplit:
        return replace(self.split, rows=[row | {"example_idx": idx} for idx, row in enumerate(rows)])

    def _time(self, name: str, points: Sequence[_Point]) -> Series:
        found = interleave({str(place): point.run for place, point in enumerate(points)}, rounds=self.rounds)
        medians = [statistics.median(side.cpu) for side in found.values()]
        y = [1000 * median / point.n_units for median, point in zip(medians, points, strict=True)]
        return Series(name, [point.x for point in points], y)


def measure(settings: Settings) -> list[Curve]:
    """All curves."""
    shape, sizes = (Shape.quick(), _Sizes.quick()) if settings.quick else (Shape(), _Sizes())
    curves = _Curves(shape, sizes, settings.n_rounds(3))
    found = []
    for run in (curves.sentences, curves.pieces, curves.symbols, curves.beams, curves.labels, curves.batches):
        found.append(run())
        print(found[-1].table(), flush=True)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables, draw the picture and write the JSON file beside it."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, only to check that it runs")
    parser.add_argument("--rounds", type=int, help="how often every point is timed")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument(
        "--output", type=Path, help="PNG file (default: docs/cost_curves.png); a JSON file is written beside it"
    )
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    settings = Settings(quick=options.quick, rounds=options.rounds, threads=options.threads)
    path = options.output or (_QUICK_PICTURE if options.quick else _PICTURE)
    curves = measure(settings)
    draw(curves, path, "Cost of prediction: points measured, lines the expected law fitted to them")
    content = {curve.name: curve.to_dict() for curve in curves}
    path.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten: {path}, {path.with_suffix('.json')}")


def _longer(example: Example, filler: Sequence[str], n_words: int) -> Example:
    """The sentence followed by words of ``filler``; its entities are unchanged."""
    return replace(example, words=(*example.words, *filler)[:n_words])


def _with_entities(example: Example, n_entities: int) -> Example:
    """The sentence with this many entities of one word each, one in every other word."""
    entities = (Entity(LABELS[idx % len(LABELS)], (Segment(2 * idx, 2 * idx + 1),)) for idx in range(n_entities))
    return replace(example, entities=tuple(entities))


def _relabelled(examples: Sequence[Example], labels: Sequence[str]) -> Iterator[Example]:
    """The sentences with the labels of another set, used cyclically."""
    following = cycle(labels)
    for example in examples:
        entities = tuple(replace(entity, label=next(following)) for entity in example.entities)
        yield replace(example, entities=entities)


if __name__ == "__main__":
    main()
