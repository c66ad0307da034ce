"""Which entities a recogniser leaves out for their scores: by what was fitted on dev, or by a number."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from genner import load
from genner.commands import predict
from genner.data.demo import demo_corpus
from genner.evaluation.thresholds import LeastScores
from genner.prediction.recogniser import Recogniser
from genner.prediction.results import TextEntity, TextResult
from genner.prediction.scores import ModelCalibration

GREEDY = "symbols of num_beams 1"
TEXTS = [" ".join(row.example.words) for row in demo_corpus(seed=5, sizes={"train": 0, "dev": 40, "test": 0})["dev"]]


def entities_of(ner: Recogniser) -> list[TextEntity]:
    return [entity for result in ner(TEXTS) for entity in result]


@pytest.fixture(scope="module")
def everything(trained_model: Path) -> list[TextEntity]:
    return entities_of(load(trained_model, min_score=0))


@pytest.fixture(scope="module")
def least(everything: list[TextEntity]) -> LeastScores:
    """Half of the entities are below the common score, but all those of one type stay."""
    scores = sorted(entity.score for entity in everything)
    assert len({entity.type for entity in everything}) > 2 and len(set(scores)) > 10
    return LeastScores(scores[len(scores) // 2], {everything[0].type: 0.0})


@pytest.fixture(scope="module")
def model(trained_model: Path, least: LeastScores, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model with these least scores. Read only."""
    folder = tmp_path_factory.mktemp("least") / "best"
    shutil.copytree(trained_model, folder)
    stored = ModelCalibration.read(folder)
    stored.with_scores(replace(stored.of(GREEDY), least=least)).write(folder)
    return folder


def test_by_default_what_was_fitted_on_dev_holds(model: Path, everything: list[TextEntity], least: LeastScores) -> None:
    ner = load(model)
    assert ner.least == ner.scoring.least == least
    expected = [one for one in everything if least.keeps(one.type, one.score)]
    assert entities_of(ner) == expected
    assert 0 < len(expected) < len(everything)
    assert any(one.score < least.common for one in expected), "a type has its own"
    assert sum(result.n_left_out for result in ner(TEXTS)) == len(everything) - len(expected)


def test_zero_gives_all(model: Path, everything: list[TextEntity], least: LeastScores) -> None:
    ner = load(model, min_score=0)
    assert entities_of(ner) == everything
    assert ner.least == least, "it is still told"
    assert not any(result.n_left_out for result in ner(TEXTS))


def test_a_number_holds_for_every_type(model: Path, everything: list[TextEntity], least: LeastScores) -> None:
    ner = load(model, min_score=least.common)
    assert entities_of(ner) == [one for one in everything if one.score >= least.common]
    assert ner.least == least


def test_whoever_wants_candidates_or_a_promise_gets_all(model: Path, tmp_path: Path) -> None:
    ner = load(model, num_beams=3, scores="nbest", candidates=True)
    assert ner.least == ner.scoring.least == LeastScores()
    assert load(model, num_beams=3, scores="nbest", candidates=True, min_score=0.4).scoring.least == LeastScores(0.4)


def test_other_scores_than_those_fitted_leave_nothing_out(model: Path) -> None:
    assert load(model, calibrated=False).scoring.least == LeastScores()
    assert load(model, num_beams=2).scoring.least == LeastScores(), "the scores of two beams were not fitted"
    (bare := model.parent / "bare").mkdir()
    for path in model.iterdir():
        if path.name != "calibration.json":
            shutil.copy(path, bare)
    assert load(bare).least == LeastScores()


def test_a_model_is_opened_with_what_was_chosen_on_dev(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "best"
    shutil.copytree(model, folder)
    assert load(folder).task.search.give_up is None
    ModelCalibration.read(folder).with_choices({"give_up": 0.3, "a choice of later versions": 1}).write(folder)
    ner = load(folder)
    assert ner.task.search.give_up == 0.3 and ner.choices == {}
    assert load(folder, give_up=0.0).task.search.give_up == 0.0
    assert load(folder, num_beams=2).task.search.give_up == 0.3


def test_results_may_be_narrowed_down_later(model: Path, least: LeastScores) -> None:
    both = [list(ner.stream(TEXTS)) for ner in (load(model), load(model, min_score=0))]
    assert both[0] == [result.at_least(least) for result in both[1]]
    result = TextResult("", n_left_out=2)
    assert result.at_least(least) == result


def test_the_command_says_how_many_were_left_out(
    model: Path, everything: list[TextEntity], least: LeastScores, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    n_left_out = sum(not least.keeps(one.type, one.score) for one in everything)

    def said(*arguments: str) -> list[str]:
        output = tmp_path / "found.jsonl"
        command = [str(model), "--input", str(tmp_path / "notes.txt"), "--output", str(output), "--overwrite"]
        assert predict.main([*command, *arguments]) == 0
        return capsys.readouterr().err.splitlines()

    line = f"entities left out for low scores: {n_left_out:,} (--min_score 0 gives all)"
    shown = said()
    assert shown.count(line) == 1
    assert f"texts 40  entities {len(everything) - n_left_out:,}  failed 0" in shown
    shown = said("--min_score", "0")
    assert not any("left out" in one for one in shown)
    assert f"texts 40  entities {len(everything):,}  failed 0" in shown
