"""Quality of a trained model's scores: calibration, and bounds on misses, on sentences that were not used to fit them.

``python -m benchmarks.scores runs/<dataset>/<run>`` reads dev and test from the predictions of a seed and prints three
tables: errors of the scores on test, raw and calibrated on dev; misses on test at thresholds from dev; and both parts
drawn at random, many times, from one pool (dev and test together; for the demo, fresh sentences like those of test).
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genner.app.prediction_files import predictions_path, read_predictions
from genner.data.demo import demo_corpus
from genner.data.schema import Example
from genner.evaluation.calibration import MissRisk, brier_score, calibration_error, fit
from genner.evaluation.tables import Table, markdown_table
from genner.prediction.recogniser import load
from genner.prediction.results import TextInput, TextResult, place_entity, words_joined

__all__ = ["main", "promise_table", "score_table"]

_ALPHAS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
_N_DRAWS, _N_JUDGED = 200, 500
_N_FRESH, _FRESH_SEED = 2000, 77


class _Sentence(NamedTuple):
    """Results for a sentence: scores of its gold entities (None: not found), of all entities, and judgements."""

    gold: list[float | None]
    scores: list[float]
    is_right: list[bool]


class _Reader:
    """Reads sentences with the model of a run, once for every kind of score."""

    def __init__(self, model: Path, num_beams: int) -> None:
        mass = {"num_beams": num_beams, "scores": "nbest"}
        self.kinds = {"symbols": {}, "nbest": mass, "nbest, candidates": {**mass, "candidates": True}}
        self.model = model

    def read(self, kind: str, examples: Iterable[Example]) -> list[_Sentence]:
        """The results for the sentences."""
        ner = load(self.model, calibrated=False, **self.kinds[kind])
        return [_judged(result) for result in ner.stream(map(_with_gold, examples))]


def score_table(dev: dict[str, list[_Sentence]], test: dict[str, list[_Sentence]]) -> Table:
    """Errors of every kind of score on test; calibrations are fitted on dev."""
    rows = []
    for kind in test:
        calibration = fit(*_pairs(dev[kind]))
        scores, is_right = _pairs(test[kind])
        calibrated = calibration.apply(scores)
        errors = [
            measure(some, is_right) for measure in (calibration_error, brier_score) for some in (scores, calibrated)
        ]
        numbers = f"{calibration.temperature:.2f} / {calibration.shift:+.2f} / {calibration.doubt:g}"
        about = [numbers, f"{len(scores):,}"]
        rows.append([kind, *about, f"{is_right.mean():.4f}", *(f"{error:.4f}" for error in errors)])
    errors = ["ECE raw", "calibrated", "Brier raw", "calibrated"]
    header = ["score", "temperature / shift / doubt", "entities", "right", *errors]
    return Table("Scores on test, calibrated on dev", header, rows)


def promise_table(title: str, draws: Iterable[tuple[Sequence[_Sentence], Sequence[_Sentence]]]) -> Table:
    """Misses and number of entities at thresholds from judged sentences, on others; means over draws."""
    found: dict[float, list[tuple[float, float] | None]] = {alpha: [] for alpha in _ALPHAS}
    for judged, fresh in draws:
        risk = MissRisk.measure([sentence.gold for sentence in judged])
        fresh = [sentence for sentence in fresh if sentence.gold]
        for alpha, values in found.items():
            threshold = risk.threshold(alpha)
            values.append(None if threshold is None else _miss_and_size(fresh, threshold))
    rows = []
    for alpha, values in found.items():
        if None in values:
            n_without = values.count(None)
            of = f" in {n_without} of {len(values)} draws" if n_without < len(values) else ""
            rows.append([f"{alpha:g}", "cannot be promised" + of, "-", "-"])
            continue
        misses, sizes = zip(*values, strict=True)
        spread = f"{np.std(misses):.4f}" if len(misses) > 1 else "-"
        rows.append([f"{alpha:g}", f"{np.mean(misses):.4f}", spread, f"{np.mean(sizes):.2f}"])
    return Table(title, ["alpha", "missed", "std over draws", "entities a sentence"], rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = ArgumentParser(prog="python -m benchmarks.scores", description=__doc__)
    parser.add_argument("run", type=Path, help="a finished run")
    parser.add_argument("--seed", type=int, default=1, help="which of its seeds (default 1)")
    parser.add_argument("--num_beams", type=int, default=8, help="of the scores by mass (default 8)")
    parser.add_argument("--limit", type=int, help="sentences of every part")
    options = parser.parse_args(argv)
    reader = _Reader(options.run / f"seed-{options.seed}" / "best", options.num_beams)
    parts: dict[str, dict[str, list[_Sentence]]] = {}
    for split in ("dev", "test"):
        lines = islice(read_predictions(predictions_path(options.run, options.seed, split)), options.limit)
        examples = [Example(tuple(line.words), tuple(line.gold)) for line in lines]
        parts[split] = {kind: reader.read(kind, examples) for kind in reader.kinds}
    dev, test = parts["dev"], parts["test"]
    print(markdown_table(score_table(dev, test)))
    best = [sentence for sentence in test["nbest"] if sentence.gold]
    n_gold = np.mean([len(sentence.gold) for sentence in best])
    print("\nThe best hypothesis on test: {:.4f} missed, {:.2f} entities".format(*_miss_and_size(best, 0.0)), end="")
    print(f" a sentence; gold {n_gold:.2f}\n")
    kind = "nbest, candidates"
    print(markdown_table(promise_table("Test at thresholds from dev", [(dev[kind], test[kind])])), "\n")
    pool, name = dev[kind] + test[kind], "dev and test"
    if options.run.resolve().parent.name == "demo":
        fresh = demo_corpus(_FRESH_SEED, {"train": 0, "dev": 0, "test": options.limit or _N_FRESH})["test"]
        pool, name = reader.read(kind, [sentence.example for sentence in fresh]), "fresh sentences"
    pool = [sentence for sentence in pool if sentence.gold]
    n_judged = min(_N_JUDGED, len(pool) // 2)
    title = f"{name}, {n_judged} of {len(pool)} judged, {_N_DRAWS} draws"
    print(markdown_table(promise_table(title, _draws(pool, n_judged))))


def _draws(pool: Sequence[_Sentence], n_judged: int) -> Iterator[tuple[list[_Sentence], list[_Sentence]]]:
    rng = np.random.default_rng(1)
    for _ in range(_N_DRAWS):
        order = rng.permutation(len(pool))
        yield [pool[place] for place in order[:n_judged]], [pool[place] for place in order[n_judged:]]


def _with_gold(example: Example) -> TextInput:
    given = words_joined(example.words)
    return replace(given, gold=tuple(place_entity(entity, given.text, given.words) for entity in example.entities))


def _judged(result: TextResult) -> _Sentence:
    gold, found = {entity.words for entity in result.gold}, {entity.words: entity.score for entity in result}
    return _Sentence([found.get(entity) for entity in gold], list(found.values()), [entity in gold for entity in found])


def _pairs(sentences: Sequence[_Sentence]) -> tuple[np.ndarray, np.ndarray]:
    scores = [score for sentence in sentences for score in sentence.scores]
    return np.array(scores), np.array([is_right for sentence in sentences for is_right in sentence.is_right])


def _miss_and_size(sentences: Sequence[_Sentence], threshold: float) -> tuple[float, float]:
    """Mean share of missed gold entities, and mean number of entities kept."""
    misses = [np.mean([score is None or score < threshold for score in row.gold]) for row in sentences]
    return float(np.mean(misses)), float(np.mean([sum(s >= threshold for s in row.scores) for row in sentences]))


if __name__ == "__main__":
    main()
