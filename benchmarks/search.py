"""What the rules of the search are worth, on the trained models of some runs (``python -m benchmarks.search RUN ...``).

Three tables for every run, means over its seeds: test searched in several ways, each also with the least scores that
dev asks for; the groups that are no entity if the search gives up at every wish that is not allowed, by reason; and how
often a forced entity is right, by the probability of all allowed symbols where it was forced. Sentences and gold
entities are read from the predictions of the seeds.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genner.app.prediction_files import load_result, predictions_path, read_predictions
from genner.data.schema import Entity
from genner.evaluation.report import REASONS
from genner.evaluation.significance import sentence_counts
from genner.evaluation.spread import mean_text, spread_of
from genner.evaluation.tables import Table, markdown_table
from genner.evaluation.thresholds import JudgedScores, LeastScores, fit_least_scores
from genner.formulations.base import ReadOptions
from genner.formulations.opening import open_task
from genner.formulations.pointer.task import GIVE_UP_VALUES, PointerTask
from genner.model.folder import ModelFolder
from genner.model.generation import Hypothesis
from genner.training.predictions import Prediction

__all__ = ["main"]

_STRUCTURES = ("flat", "nested", "discontinuous")
_MASSES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
_ANY_LENGTH = 10**9  # pieces: no windows


class _Recording(PointerTask):
    """Keeps the entities with forced symbols: number of the sentence, entity and the lowest of the masses."""

    forced: list[tuple[int, Entity, float]]

    def _read(self, hypotheses: Sequence[Hypothesis], bounds: Sequence[int], number: int, *others: Any) -> Prediction:
        found = hypotheses[0]
        settled = self.codec.settle(found.ids, bounds, self.generation.structure)
        for entity, (start, end) in zip(settled.entities, settled.symbol_spans, strict=True):
            if (mass := min(found.masses[start:end])) < 1:
                self.forced.append((number, entity, mass))
        return super()._read(hypotheses, bounds, number, *others)


@dataclass
class _Way:
    """One way of searching, over seeds."""

    scores: list[tuple[float, float, float]] = field(default_factory=list)  # P, R, F1 of a seed
    with_least: list[float] = field(default_factory=list)  # its F1 with least scores
    counts: Counter[str] = field(default_factory=Counter)


@dataclass
class _Sentences:
    """A split as the predictions of a seed hold it."""

    words: list[list[str]]
    gold: list[list[Entity]]

    @classmethod
    def of(cls, run: Path, seed: int, split: str, limit: int | None) -> _Sentences:
        rows = [row for row in read_predictions(predictions_path(run, seed, split)) if row.words][:limit]
        return cls([row.words for row in rows], [row.gold for row in rows])

    def read(self, task: PointerTask) -> list[Prediction]:
        """What the task finds."""
        with torch.no_grad():
            found = list(task.read(self.words, ReadOptions(window=_ANY_LENGTH)))
        return sorted(found, key=lambda one: one.example_idx)

    def scores(self, found: Sequence[Prediction], least: LeastScores | None = None) -> tuple[float, float, float]:
        """P, R and F1 in percent."""
        least = least or LeastScores()
        kept = [[one for one, score in row.distinct().items() if least.keeps(one.label, score)] for row in found]
        counts = [sentence_counts(gold, entities) for gold, entities in zip(self.gold, kept, strict=True)]
        right, wrong, missed = np.sum(counts, axis=0)
        return (
            100 * right / max(right + wrong, 1),
            100 * right / max(right + missed, 1),
            200 * right / max(2 * right + wrong + missed, 1),
        )

    def least(self, found: Sequence[Prediction]) -> LeastScores:
        """Fitted to these predictions."""
        judged = JudgedScores()
        for gold, row in zip(self.gold, found, strict=True):
            known = set(gold)
            judged.add(((one.label, score, one in known) for one, score in row.distinct().items()), len(known))
        return fit_least_scores(judged)


def _ways(task: PointerTask) -> Iterator[tuple[str, PointerTask]]:
    """The ways to search."""
    yield "unconstrained, what is no entity dropped", task.varied({"constrained": False})
    kind = task.target.kind
    for structure in reversed(_STRUCTURES[_STRUCTURES.index(kind) + 1 :]):
        relaxed = replace(task.target, kind=structure)
        search = replace(task.search, constrained=True, give_up=0.0)
        yield f"forced, by the rules of {structure} entities", PointerTask(task.model, task.labels, relaxed, search)
    for value in (0.0, *GIVE_UP_VALUES):
        name = f"gives up below {value:g}" if value else f"forced, by the rules of {kind} entities"
        yield name, task.varied({"constrained": True, "give_up": value})


def _measure(run: Path, limit: int | None) -> Iterator[Table]:
    """The tables of a run."""
    seeds = [seed["seed"] for seed in load_result(run)["seeds"] if seed["status"] == "ok"]
    ways: dict[str, _Way] = {}
    forced: list[tuple[float, bool]] = []
    for seed in seeds:
        task = open_task(ModelFolder.read(run / f"seed-{seed}" / "best"), "cpu", {})
        dev, test = (_Sentences.of(run, seed, split, limit) for split in ("dev", "test"))
        for name, varied in _ways(task):
            found = test.read(varied)
            way = ways.setdefault(name, _Way())
            way.scores.append(test.scores(found))
            way.with_least.append(test.scores(found, dev.least(dev.read(varied)))[2])
            way.counts += sum((one.counts for one in found), Counter())
        search = replace(task.search, constrained=True, give_up=0.0)
        recording = _Recording(task.model, task.labels, task.target, search)
        recording.forced = []
        test.read(recording)
        gold = [set(row) for row in test.gold]
        forced += [(mass, entity in gold[number]) for number, entity, mass in recording.forced]
    title = f"{run.parent.name}, {run.name}, {len(seeds)} seeds"
    rows = [
        [
            name,
            *(mean_text(spread_of(column)) for column in (*zip(*way.scores, strict=True), way.with_least)),
            *(f"{way.counts[key] / len(seeds):,.0f}" for key in ("forced", "repeated")),
            f"{(way.counts.total() - way.counts['forced'] - way.counts['repeated']) / len(seeds):,.0f}",
        ]
        for name, way in ways.items()
    ]
    header = ["search", "P", "R", "F1", "F1, least scores", "forced", "repeated", "dropped"]
    yield Table(f"{title}: test", header, rows)
    reasons = [
        [REASONS.get(name, name), f"{n / len(seeds):,.1f}"] for name, n in way.counts.most_common() if name in REASONS
    ]
    yield Table(f"{title}: wishes that are not allowed", ["group", "a seed"], reasons)
    yield Table(
        f"{title}: entities with a forced symbol", ["probability of what is allowed", "n", "right"], _curve(forced)
    )


def _curve(forced: Sequence[tuple[float, bool]]) -> list[list[str]]:
    rows = []
    for low, high in pairwise(_MASSES):
        inside = [is_right for mass, is_right in forced if low <= mass < high]
        rows.append([f"{low:g} to {high:g}", f"{len(inside):,}", f"{100 * np.mean(inside):.0f} %" if inside else "-"])
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="a finished run")
    parser.add_argument("--limit", type=int, help="sentences of every split")
    options = parser.parse_args(argv)
    for run in options.runs:
        for table in _measure(run, options.limit):
            print(markdown_table(table), "\n", flush=True)


if __name__ == "__main__":
    main()
