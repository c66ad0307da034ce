"""Scores of a trained model: fitted at the end of training, fitted anew, kept promises on misses."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from benchmarks import scores
from genner import load
from genner.app.prediction_files import JudgedSentence, read_predictions
from genner.data.demo import demo_corpus
from genner.data.schema import Example, Segment
from genner.errors import ConfigError, DataFormatError
from genner.evaluation.calibration import MissRisk, calibration_error
from genner.evaluation.thresholds import LeastScores
from genner.prediction.calibrate import calibrate
from genner.prediction.recogniser import Recogniser
from genner.prediction.results import TextInput, TextResult, place_entity, words_joined
from genner.prediction.scores import ModelCalibration

GREEDY = "symbols of num_beams 1"
MASS = {"num_beams": 6, "scores": "nbest", "candidates": True, "eos_penalty": 0.0}
ALPHA = 0.25


def with_gold(example: Example) -> TextInput:
    text = words_joined(example.words)
    return replace(text, gold=tuple(place_entity(entity, text.text, text.words) for entity in example.entities))


def examples_of(rows: Sequence[JudgedSentence]) -> list[Example]:
    return [Example(tuple(row.words), tuple(row.gold)) for row in rows]


@pytest.fixture(scope="module")
def dev(trained_run: Path) -> list[JudgedSentence]:
    return list(read_predictions((trained_run / "best").resolve().parent / "predictions.dev.jsonl"))


@pytest.fixture
def model(trained_model: Path, tmp_path: Path) -> Path:
    """A model folder that may be changed, without a calibration, but opened as it was found best to."""
    shutil.copytree(trained_model, tmp_path / "best")
    ModelCalibration(choices=ModelCalibration.read(trained_model).choices).write(tmp_path / "best")
    return tmp_path / "best"


def misses(results: Sequence[TextResult]) -> float:
    """Mean share of gold entities that are not found, over the texts that have some."""
    found = [({(e.type, e.words) for e in one}, {(e.type, e.words) for e in one.gold}) for one in results if one.gold]
    return float(np.mean([len(gold - found) / len(gold) for found, gold in found]))


def test_training_leaves_a_calibration_of_the_scores_on_dev(trained_model: Path, dev: list[JudgedSentence]) -> None:
    stored = ModelCalibration.read(trained_model)
    (fitted,) = stored.scores
    assert fitted.kind == GREEDY
    assert (fitted.fitted_on.name, fitted.fitted_on.sentences) == ("dev", len(dev))
    judged = [pair for sentence in dev for pair in sentence.judged_scores()]
    found, is_right = zip(*judged, strict=True)
    assert fitted.calibration.n == len(found)
    assert fitted.ece_before == pytest.approx(calibration_error(found, is_right))
    assert fitted.ece_after < fitted.ece_before


def test_training_leaves_least_scores_that_the_predictions_of_dev_keep_to(
    trained_model: Path, dev: list[JudgedSentence]
) -> None:
    (fitted,) = ModelCalibration.read(trained_model).scores
    calibrated = fitted.calibration.apply
    n_right = n_kept = 0
    for sentence in dev:
        for entities, is_kept in (
            (zip(sentence.predicted, sentence.scores, strict=True), True),
            (sentence.left_out, False),
        ):
            for entity, score in entities:
                assert fitted.least.keeps(entity.label, float(calibrated([score])[0])) == is_kept
        found = set(sentence.predicted)
        n_right, n_kept = n_right + len(found & set(sentence.gold)), n_kept + len(found)
    n_gold = sum(len(set(sentence.gold)) for sentence in dev)
    assert fitted.least.f_after == pytest.approx(200 * n_right / (n_kept + n_gold), abs=0.006)
    assert fitted.least.f_after >= fitted.least.f_before


def test_a_folder_without_the_file_gives_the_scores_of_the_model(model: Path, trained_model: Path) -> None:
    text = "My left knee hurts since Monday."
    plain, asked = load(model)(text), load(trained_model, calibrated=False)(text)
    calibrated = load(trained_model, min_score=0)(text)
    assert len(plain) > 0
    assert [one.score for one in plain] == pytest.approx([one.score for one in asked])
    calibration = ModelCalibration.read(trained_model).of(GREEDY).calibration
    expected = calibration.apply([one.score for one in plain])
    assert [one.score for one in calibrated] == pytest.approx(expected.tolist(), abs=1e-6)


def test_calibrating_on_dev_gives_what_training_gave(
    model: Path, trained_model: Path, dev: list[JudgedSentence]
) -> None:
    done = calibrate(load(model, calibrated=False), map(with_gold, examples_of(dev)), name="dev")
    (ours,), (theirs,) = ModelCalibration.read(model).scores, ModelCalibration.read(trained_model).scores
    assert done.scores == ours and done.misses is None and done.n_texts == len(dev)
    assert ours.fitted_on == theirs.fitted_on
    assert ours.calibration.temperature == pytest.approx(theirs.calibration.temperature, rel=0.02)
    assert ours.calibration.doubt == theirs.calibration.doubt
    assert ours.calibration.shift == pytest.approx(theirs.calibration.shift, abs=0.02)
    assert ours.least.common == pytest.approx(theirs.least.common, abs=0.02)
    assert ours.least.by_type == pytest.approx(theirs.least.by_type, abs=0.02)


@pytest.fixture(scope="module")
def candidates(trained_model: Path) -> list[TextResult]:
    """Sentences like those of training, which it has not seen, with all candidates of the model."""
    rows = demo_corpus(seed=77, sizes={"train": 0, "dev": 500, "test": 0})["dev"]
    ner = load(trained_model, calibrated=False, **MASS)
    return list(ner.stream(with_gold(row.example) for row in rows))


def test_misses_are_bounded_on_sentences_of_the_same_kind(
    model: Path, candidates: list[TextResult], trained_model: Path
) -> None:
    judged, fresh = candidates[:250], candidates[250:]
    ner = load(model, calibrated=False, **MASS)
    done = calibrate(ner, [TextInput(one.text, words=one.words, gold=one.gold) for one in judged], conformal=True)
    stored = ModelCalibration.read(model)
    assert stored.misses == done.misses and done.misses.kind == "nbest of num_beams 6 with candidates"
    assert done.misses.choices == stored.choices | MASS, "alpha holds only for the search that was measured"
    assert done.misses.risk.n == sum(bool(one.gold) for one in judged)
    assert done.misses.risk.risks[0] == pytest.approx(misses(judged), abs=1e-9)
    careful = load(model, alpha=ALPHA)
    results = list(careful.stream(TextInput(one.text, words=one.words, gold=one.gold) for one in fresh))
    rate = misses(results)
    losses = np.std([misses([one]) for one in results if one.gold])
    n = sum(bool(one.gold) for one in fresh)
    # One draw of either half: the promise is about the mean over draws; so four standard errors of both.
    assert rate <= ALPHA + 4 * losses * (2 / n) ** 0.5
    threshold = done.misses.threshold(ALPHA)
    kept = [one.at_least(LeastScores(threshold)) for one in fresh]
    assert misses(kept) == pytest.approx(rate, abs=0.01), "alpha is not the threshold of the file"
    assert sum(map(len, results)) < sum(map(len, fresh)), "everything was kept"
    assert not any(one.n_left_out for one in results), "a minimal score of 0 would not give them"


def test_the_promise_over_many_draws(candidates: list[TextResult]) -> None:
    rng = np.random.default_rng(1)
    rows = [
        [{(e.type, e.words): e.score for e in one}.get((gold.type, gold.words)) for gold in one.gold]
        for one in candidates
        if one.gold
    ]
    for alpha in (0.2, 0.3):
        rates = []
        for _ in range(300):
            order = rng.permutation(len(rows))
            judged, fresh = ([rows[place] for place in part] for part in (order[:150], order[150:]))
            threshold = MissRisk.measure(judged).threshold(alpha)
            assert threshold is not None
            losses = [np.mean([score is None or score < threshold for score in row]) for row in fresh]
            rates.append(np.mean(losses))
        # Halves of one pool, drawn by lot, are exchangeable: the promise holds for their mean, whatever the pool.
        error = np.std(rates) / len(rates) ** 0.5
        assert alpha - 2 / 151 - 3 * error <= np.mean(rates) <= alpha + 3 * error


def test_what_cannot_be_calibrated(model: Path, trained_model: Path, dev: list[JudgedSentence]) -> None:
    texts = [with_gold(example) for example in examples_of(dev)[:3]]
    with pytest.raises(ConfigError, match=r"calibrates its scores or leaves .* Set calibrated=False, and set neither"):
        calibrate(load(trained_model), texts)
    with pytest.raises(ConfigError, match="leaves entities out"):
        calibrate(load(model, min_score=0.2), texts)
    with pytest.raises(ConfigError, match=r"gives symbols of num_beams 1.*Open the model with scores='nbest'"):
        calibrate(load(model), texts, conformal=True)
    nothing = [TextInput("Nothing is known."), TextInput("", error="page.txt: no UTF-8"), TextInput("None.", gold=())]
    with pytest.raises(DataFormatError, match=r"mine: 1 texts read, 1 without gold, 1 failed: no sentence with gold"):
        calibrate(load(model), nothing, name="mine")
    done = calibrate(load(model), [*nothing, *texts])
    assert (done.n_texts, done.n_without_gold, done.failed) == (4, 1, ("page.txt: no UTF-8",))


def test_sentences_of_a_text_are_judged_one_by_one(model: Path, dev: list[JudgedSentence]) -> None:
    examples = [example for example in islice(examples_of(dev), 40)]
    words = [word for example in examples for word in example.words]
    starts = np.cumsum([0, *(len(example.words) for example in examples)]).tolist()
    sentences = tuple(map(Segment, starts[:-1], starts[1:]))
    text = words_joined(words, sentences=sentences)
    gold = [
        entity.shifted(start) for start, example in zip(starts, examples, strict=False) for entity in example.entities
    ]
    whole = replace(text, gold=tuple(place_entity(entity, text.text, text.words) for entity in gold))
    ner = load(model, calibrated=False, **MASS)
    together = calibrate(ner, [whole], conformal=True)
    apart = calibrate(ner, map(with_gold, examples), conformal=True)
    assert together.misses.risk.n == apart.misses.risk.n > 20
    assert together.misses.risk.risks == pytest.approx(apart.misses.risk.risks)
    assert together.misses.fitted_on.sentences == apart.misses.fitted_on.sentences == 40


def test_a_damaged_file_stops_the_loading_of_the_model(model: Path) -> None:
    (model / "calibration.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataFormatError, match=r"calibration\.json: not a calibration"):
        load(model)


def test_scores_of_mass_need_beams(trained_model: Path) -> None:
    with pytest.raises(ConfigError, match="scores: nbest with num_beams 1"):
        load(trained_model, scores="nbest")
    assert isinstance(load(trained_model, **MASS), Recogniser)


def test_the_benchmark_of_scores_prints_its_tables(trained_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores.main([str(trained_run), "--limit", "60", "--num_beams", "4"])
    shown = capsys.readouterr().out
    titles = ("Scores on test, calibrated on dev", "Test at thresholds from dev", "fresh sentences, ")
    assert [shown.count(f"## {title}") for title in titles] == [1, 1, 1]
    assert "| 0.01  | cannot be promised " in shown, "too few sentences for such a promise"
