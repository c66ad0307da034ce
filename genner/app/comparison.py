"""Compares two runs on the same sentences: is their difference significant?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from genner.app.prediction_files import JudgedSentence, load_result, predictions_path, read_predictions
from genner.errors import DataFormatError
from genner.evaluation.significance import Comparison, compare_counts, sentence_counts
from genner.evaluation.spread import mean_text, spread_over_seeds

__all__ = ["compare_runs", "comparison_text"]

_SPLIT = "test"


def compare_runs(first: Path, second: Path, *, n_resamples: int = 10_000) -> tuple[Comparison, list[int], list[str]]:
    """Compare the test predictions of two runs, seed n of one with seed n of the other.

    Args:
        first: a run folder.
        second: another run folder.
        n_resamples: number of samples of each test.

    Returns:
        The comparison, the seeds that were paired, and notes on the seeds that were left out.

    Raises:
        DataFormatError: no seed is ok in both runs, or their sentences or gold entities differ.
    """
    results = [load_result(folder)["seeds"] for folder in (first, second)]
    states = [_states(folder, seeds) for folder, seeds in zip((first, second), results, strict=True)]
    seeds = sorted(seed for seed, state in states[0].items() if state == states[1].get(seed) == "ok")
    if not seeds:
        raise DataFormatError(
            f"{first} ({_described(states[0])}) and {second} ({_described(states[1])}): no seed in common that is ok "
            f"and has {_SPLIT} scores. Expected at least one. Train both with the same --seeds, on data whose {_SPLIT} "
            "split is labelled."
        )
    notes = []
    for folder, state, result in zip((first, second), states, results, strict=True):
        left_out = {seed: reason for seed, reason in state.items() if seed not in seeds}
        if left_out:
            notes.append(f"{folder}: left out: {_described(left_out)}")
        if "collapsed" in left_out.values():
            every = spread_over_seeds(result, ("ok", "collapsed"))[_SPLIT].get("f")
            notes.append(f"{folder}: {_SPLIT} F1 of the run with its collapsed seeds: {mean_text(every)}")
    counts, digests = zip(*(_paired_counts(first, second, seed) for seed in seeds), strict=True)
    for seed, digest in zip(seeds, digests, strict=True):
        if digest != digests[0]:
            raise DataFormatError(
                f"{first}: seed {seed} was tested on different sentences than seed {seeds[0]}. Expected the same "
                f"{_SPLIT} split. Train the seeds of a run on the same files."
            )
    both = np.stack(counts, axis=1)  # (2 runs, pairs, sentences, 3)
    return compare_counts(both[0], both[1], n_resamples=n_resamples), seeds, notes


def comparison_text(first: Path, second: Path, comparison: Comparison, seeds: list[int], notes: list[str]) -> str:
    """What ``genner report --compare`` prints."""
    pairs = ", ".join(f"seed {seed} {delta:+.2f}" for seed, delta in zip(seeds, comparison.pair_deltas, strict=True))
    lines = [
        f"A  {first}  {_SPLIT} F1 {comparison.first_f:.2f}",
        f"B  {second}  {_SPLIT} F1 {comparison.second_f:.2f}",
        f"{comparison.n_sentences:,} sentences, {len(seeds)} seed pair{'s' * (len(seeds) != 1)}: {pairs}",
        "",
        f"delta F1 (B - A)        {comparison.delta:+.2f}",
        f"95 % confidence interval {comparison.low:+.2f} to {comparison.high:+.2f}   (paired bootstrap over sentences)",
        f"p, paired bootstrap     {_p(comparison.p_bootstrap, comparison.n_resamples)}",
        f"p, randomisation        {_p(comparison.p_permutation, comparison.n_resamples)}",
        f"two-sided, {comparison.n_resamples:,} samples each; sentences are resampled, seeds are not",
        *notes,
    ]
    return "\n".join(lines)


def _states(folder: Path, seeds: list[dict[str, Any]]) -> dict[int, str]:
    """The status of each seed, or ``no test scores`` if it is not scored on that split or its file is missing."""
    states = {}
    for seed in seeds:
        is_scored = seed[_SPLIT] and predictions_path(folder, seed["seed"], _SPLIT).is_file()
        states[seed["seed"]] = seed["status"] if is_scored or seed["status"] != "ok" else f"no {_SPLIT} scores"
    return states


def _described(states: Mapping[int, str]) -> str:
    return ", ".join(f"seed {seed} {state}" for seed, state in states.items()) or "no seeds"


def _paired_counts(first: Path, second: Path, seed: int) -> tuple[np.ndarray, bytes]:
    """Counts of shape (2, sentences, 3), and a digest of the sentences and their gold entities."""
    paths = [predictions_path(folder, seed, _SPLIT) for folder in (first, second)]
    digest = blake2b(digest_size=16)
    rows: list[tuple[int, ...]] = []
    for left, right in _pairs(*paths):
        gold = sorted({(entity.label, entity.segments) for entity in left.gold})
        digest.update(repr((left.words, gold)).encode())
        rows.append(sentence_counts(left.gold, left.predicted) + sentence_counts(right.gold, right.predicted))
    if not rows:
        raise DataFormatError(f"{paths[0]}: no sentences. Expected at least one. Name runs with a test split.")
    return np.array(rows, dtype=np.int32).reshape(-1, 2, 3).transpose(1, 0, 2), digest.digest()


def _pairs(first: Path, second: Path) -> Iterator[tuple[JudgedSentence, JudgedSentence]]:
    """The sentences of two files side by side; their words and gold entities must be equal."""
    for number, (left, right) in enumerate(zip_longest(read_predictions(first), read_predictions(second)), 1):
        if left is None or right is None:
            ended, longer = (first, second) if left is None else (second, first)
            raise DataFormatError(
                f"{ended}: ends after {number - 1} sentences, {longer} does not. Expected the same sentences in both. "
                "Compare runs on the same split (the same corpus, --limit and handling of long sentences)."
            )
        for what, a, b in (("words", left.words, right.words), ("gold", set(left.gold), set(right.gold))):
            if a != b:
                raise DataFormatError(
                    f"{first}:{number}: {what} {_short(a, b)} differ from {_short(b, a)} of {second}:{number}. "
                    "Expected the same sentences and gold entities in both. Compare runs on the same corpus."
                )
        yield left, right


def _short(value: Any, other: Any) -> str:
    """A few words, or a few of the entities that only ``value`` has."""
    if isinstance(value, set):
        only = [f"{entity.label} {entity.flat}" for entity in value - other]
        return repr(sorted(only)[:3])
    return repr(" ".join(value[:8]) + (" ..." if len(value) > 8 else ""))


def _p(value: float, n_resamples: int) -> str:
    return f"{value:.4f}" if value > 1 / n_resamples else f"< {1 / n_resamples:.4f}"
