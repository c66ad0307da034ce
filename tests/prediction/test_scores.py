"""``calibration.json``: written and read back, refused with a reason, and what it means for scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genner.data.schema import Entity
from genner.errors import ConfigError, DataFormatError
from genner.evaluation.calibration import Calibration, MissRisk
from genner.evaluation.thresholds import JudgedScores, LeastScores
from genner.prediction.scores import Fingerprint, FittedMisses, FittedOn, ModelCalibration, Scoring, fit_scores

DEV = FittedOn("dev", 30, "0123456789abcdef")
GREEDY, MASS = "symbols of num_beams 1", "nbest of num_beams 8 with candidates"
CHOICES = {"scores": "nbest", "num_beams": 8, "candidates": True}
SCORES, IS_RIGHT = [0.9] * 40 + [0.5] * 20, ([True] * 3 + [False]) * 15
LEAST = LeastScores(0.25, {"BODY": 0.125}, 71.5, 73.0)
KNEE, HIP = Entity.from_flat("BODY", [0, 1]), Entity.from_flat("BODY", [2, 3])


def judged(scores: list[float], is_right: list[bool]) -> JudgedScores:
    """Each in a sentence of its own, whose only gold entity it finds or misses."""
    made = JudgedScores()
    for score, right in zip(scores, is_right, strict=True):
        made.add([("BODY", score, right)], 1)
    return made


@pytest.fixture
def stored() -> ModelCalibration:
    misses = FittedMisses(MASS, CHOICES, MissRisk.measure([[0.9, 0.8]] * 18 + [[0.4]] * 6 + [[None, 0.7]]), DEV)
    return ModelCalibration((fit_scores(GREEDY, judged(SCORES, IS_RIGHT), DEV),), misses)


def test_what_is_written_is_read_back(tmp_path: Path, stored: ModelCalibration) -> None:
    path = stored.write(tmp_path)
    assert path == tmp_path / "calibration.json"
    assert ModelCalibration.read(tmp_path) == stored
    assert [entry.name for entry in tmp_path.iterdir()] == ["calibration.json"]
    assert ModelCalibration.read(tmp_path / "other") == ModelCalibration()


def test_a_calibration_replaces_one_of_its_kind_only(stored: ModelCalibration) -> None:
    again = fit_scores(GREEDY, judged(SCORES, [True] * 60), DEV)
    of_mass = fit_scores(MASS, judged(SCORES, IS_RIGHT), DEV)
    both = stored.with_scores(of_mass).with_scores(again)
    assert both.of(GREEDY) == again and both.of(MASS) == of_mass and len(both.scores) == 2
    assert both.of("nbest of num_beams 4 with candidates") is None


def test_the_errors_before_and_after(stored: ModelCalibration) -> None:
    fitted = stored.of(GREEDY)
    assert fitted.calibration.n == 60
    assert fitted.ece_before == pytest.approx((40 * 0.15 + 20 * 0.25) / 60)
    assert fitted.ece_after < fitted.ece_before / 3
    assert fit_scores(GREEDY, JudgedScores(), DEV) is None
    assert fit_scores(GREEDY, judged([-0.5, 0.5], [True, False]), DEV) is None, "log-probabilities are no scores"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format=1), "calibration format 1. Expected 3, which this version of GenNER reads. Remove"),
        (lambda c: c.update(format="new"), "calibration format 'new'. Expected 3"),
        (lambda c: c.pop("format"), "not a calibration"),
        (lambda c: c["scores"][0]["calibration"].update(temperature=0), "scores.0.calibration: .*temperature above 0"),
        (lambda c: c["scores"][0]["calibration"].update(shift="0"), "scores.0.calibration.shift: .*valid number"),
        (lambda c: c["scores"][0]["fitted_on"].pop("name"), "scores.0.fitted_on.name: Field required"),
        (lambda c: c["misses"]["risk"].update(risks=[0.5, 0.1]), "misses.risk: .*expected ascending thresholds"),
        (lambda c: c["misses"].update(choices=[]), "misses.choices: .*should be an object"),
        (lambda c: c.update(scores={}), "scores: .*valid"),
        (lambda c: c.update(choices=["give_up"]), "choices: .*should be an object"),
        (lambda c: c["scores"][0]["least"].update(common=1.5), "scores.0.least: .*expected numbers from 0 to 1"),
        (lambda c: c["scores"][0]["least"].update(by_type={"BODY": "0.1"}), "scores.0.least.by_type.BODY: .*number"),
    ],
)
def test_a_damaged_file_is_named(
    tmp_path: Path, stored: ModelCalibration, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    path = stored.write(tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataFormatError, match=f"calibration.json: .*{message}") as caught:
        ModelCalibration.read(tmp_path)
    assert "remove" in str(caught.value).lower()


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '"x"', "\xff"])
def test_a_file_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "calibration.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataFormatError, match=r"not a calibration \(.*\)\. Expected .* Copy the file again"):
        ModelCalibration.read(tmp_path)


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, stored: ModelCalibration) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"calibration.json: cannot be written: .*Expected a model folder with write"):
        stored.write(tmp_path / "file")


def test_fingerprints_tell_data_apart() -> None:
    def digest(*sentences: tuple[list[str], list[Entity]]) -> str:
        fingerprint = Fingerprint()
        for words, gold in sentences:
            fingerprint.add(words, gold)
        return fingerprint.digest

    knees = ["sore", "knees", "today"]
    same = {digest((knees, [KNEE, HIP])), digest((knees, [HIP, KNEE, KNEE]))}
    others = {digest((knees, [KNEE])), digest((knees[:2], [KNEE, HIP])), digest((knees, [KNEE, HIP]), (knees, []))}
    assert len(same) == 1 and len(same | others) == 4


def test_scores_are_calibrated_by_what_was_fitted(stored: ModelCalibration) -> None:
    found = {KNEE: 0.9, HIP: 0.5}
    assert Scoring()(found) == found, "without a calibration they stay as they are"
    calibration = stored.of(GREEDY).calibration
    scoring = Scoring(GREEDY, calibration)
    assert list(scoring(found).values()) == pytest.approx(calibration.apply([0.9, 0.5]).tolist())
    assert scoring({}) == {}
    assert Scoring()({KNEE: -0.7}) == {KNEE: -0.7}, "log-probabilities are kept as well"


def test_entities_are_left_out_by_their_score_as_it_is_handed_out() -> None:
    scoring = Scoring(GREEDY, Calibration(shift=-2.0), threshold=0.6, least=LeastScores(0.5))
    assert list(scoring({KNEE: 0.95, HIP: 0.8})) == [KNEE]
    assert list(replace(scoring, least=LeastScores())({KNEE: 0.61, HIP: 0.59})) == [KNEE]


def test_types_have_least_scores_of_their_own() -> None:
    ache = Entity.from_flat("SYMPTOM", [0, 1])
    scoring = Scoring(GREEDY, least=LeastScores(0.5, {"BODY": 0.2}))
    assert scoring({KNEE: 0.2, HIP: 0.19, ache: 0.49}) == {KNEE: 0.2}
    assert scoring({ache: 0.5}) == {ache: 0.5}


def test_scoring_is_as_it_was_fitted(stored: ModelCalibration) -> None:
    fitted = replace(stored.of(GREEDY), least=LEAST)
    assert Scoring.of(GREEDY, fitted) == Scoring(GREEDY, fitted.calibration, 0.0, LEAST)
    assert Scoring.of(MASS, None) == Scoring(MASS)


def test_least_scores_are_those_of_calibrated_scores() -> None:
    """The wrong ones have a score of 0.4, which is calibrated to less than a tenth."""
    scores, is_right = [0.95] * 60 + [0.4] * 60, [True] * 58 + [False] * 60 + [True, False]
    fitted = fit_scores(GREEDY, judged(scores, is_right), DEV)
    low, high = fitted.calibration.apply([0.4, 0.95])
    assert low < 0.1 < 0.8 < high
    assert fitted.least.common == pytest.approx((low + high) / 2, abs=1e-5)
    assert fitted.least.f_before < fitted.least.f_after
    without = fit_scores(GREEDY, judged(scores, is_right), DEV, with_least=False)
    assert without == replace(fitted, least=LeastScores())


def test_the_format_before_is_read(tmp_path: Path, stored: ModelCalibration) -> None:
    """It knew neither least scores nor choices."""
    path = stored.write(tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content.pop("choices") == {} and content["format"] == 3
    for fitted in content["scores"]:
        del fitted["least"]
    path.write_text(json.dumps(content | {"format": 2}), encoding="utf-8")
    assert ModelCalibration.read(tmp_path) == ModelCalibration(
        tuple(replace(fitted, least=LeastScores()) for fitted in stored.scores), stored.misses
    )


def test_choices_and_least_scores_are_kept(tmp_path: Path, stored: ModelCalibration) -> None:
    chosen = stored.with_scores(replace(stored.of(GREEDY), least=LEAST)).with_choices({"give_up": 0.3})
    chosen.write(tmp_path)
    again = ModelCalibration.read(tmp_path)
    assert again == chosen and again.of(GREEDY).least == LEAST
    assert again.with_scores(fit_scores(MASS, judged(SCORES, IS_RIGHT), DEV)).choices == {"give_up": 0.3}


def test_alpha_takes_the_choices_by_which_misses_were_measured(tmp_path: Path, stored: ModelCalibration) -> None:
    with pytest.raises(ConfigError, match=r"alpha: the misses of .* were never measured. Expected .* Calibrate it"):
        ModelCalibration().choices_for_alpha(tmp_path, {})
    assert stored.choices_for_alpha(tmp_path, {}) == CHOICES
    assert stored.choices_for_alpha(tmp_path, {"num_beams": "8", "form": "bf16"}) == {**CHOICES, "form": "bf16"}
    with pytest.raises(ConfigError, match=r"measured with num_beams 8, num_beams is 4. Expected the same. Leave"):
        stored.choices_for_alpha(tmp_path, {"num_beams": 4})
    assert 0.39 < stored.threshold(0.1) < 0.4
    assert stored.threshold(0.5) > 0.7
    assert stored.threshold(None) == 0.0


def test_a_promise_that_cannot_be_made_names_the_one_that_can(stored: ModelCalibration) -> None:
    # 25 sentences, half of the entities of one are no candidates: (0.5 + 1) / 26
    reason = r"alpha: 0\.05 cannot be promised: .* 25 sentences \(dev\), 2\.00 % are not among the candidates of nbest"
    with pytest.raises(ConfigError, match=reason + r".* Expected 0\.0577 or more\. Raise alpha, or calibrate with"):
        stored.misses.threshold(0.05)
    assert stored.misses.threshold(0.0577) > 0
    for wrong in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(ConfigError, match="Expected a share of misses between 0 and 1"):
            stored.misses.threshold(wrong)
