"""Promises on misses on real text: BC5CDR, with a model that is trained for half a minute and knows little."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from genner import load
from genner.app.prediction_files import read_predictions
from genner.evaluation.calibration import MissRisk, calibration_error
from genner.prediction.scores import ModelCalibration

ROOT = Path(__file__).parents[2]
SETTINGS = [
    "training.epochs=6", "training.evaluate_from=6", "optim.lr=0.0013", "pointer.eos_penalty=0", "--limit", "700",
]  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.corpus]


@pytest.fixture(scope="module")
def seed(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trained seed."""
    folder = tmp_path_factory.mktemp("bc5cdr")
    corpus = ["--dataset_name", "bc5cdr", "--kind", "flat", "--data_root", str(shared_data.resolve())]
    command = [sys.executable, str(ROOT / "train.py"), *corpus, "--backbone", "scratch:tiny", *SETTINGS]
    subprocess.run([*command, "--runs_dir", "runs", "--run_name", "r"], cwd=folder, check=True, capture_output=True)
    return folder / "runs" / "bc5cdr" / "r" / "seed-1"


def test_scores_calibrated_on_dev_are_better_on_test(seed: Path) -> None:
    calibration = ModelCalibration.read(seed / "best").of("symbols of num_beams 1").calibration
    judged = [pair for row in read_predictions(seed / "predictions.test.jsonl") for pair in row.judged_scores()]
    scores, is_right = map(np.array, zip(*judged, strict=True))
    assert len(scores) > 200
    assert calibration_error(calibration.apply(scores), is_right) < 0.7 * calibration_error(scores, is_right)


def test_the_promise_is_kept_over_draws_of_real_sentences(seed: Path) -> None:
    ner = load(seed / "best", num_beams=4, scores="nbest", candidates=True, calibrated=False)
    sentences = [row for row in read_predictions(seed / "predictions.test.jsonl") if row.gold][:300]
    rows = []
    for sentence, result in zip(sentences, ner.predict_words([row.words for row in sentences]), strict=True):
        found = {entity.words: entity.score for entity in result}
        rows.append([found.get(gold) for gold in set(sentence.gold)])
    least = MissRisk.measure(rows).reachable
    assert least < 0.9, "the model knows nothing"
    rng = np.random.default_rng(2)
    alphas = (least + 0.05, (1 + least) / 2)
    rates: list[list[float]] = [[] for _ in alphas]
    for _ in range(300):
        order = rng.permutation(len(rows))
        risk = MissRisk.measure([rows[place] for place in order[:150]])
        for alpha, means in zip(alphas, rates, strict=True):
            threshold = risk.threshold(alpha) or 0.0
            fresh = [rows[place] for place in order[150:]]
            means.append(np.mean([np.mean([s is None or s < threshold for s in row]) for row in fresh]))
    for alpha, means in zip(alphas, rates, strict=True):
        error = np.std(means) / len(means) ** 0.5
        assert np.mean(means) <= alpha + 3 * error
    assert np.mean(rates[1]) >= alphas[1] - 2 / 151 - 3 * error, "more is kept than has to be"
