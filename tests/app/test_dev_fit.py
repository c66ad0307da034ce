"""What is decided on dev: with answers made by hand, and anew with a trained model as training did."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from genner.app import dev_fit
from genner.app.corpus import check_corpus, open_corpus
from genner.app.dev_fit import DevFit, leave_out
from genner.app.prediction_files import read_predictions
from genner.config import load_recipe
from genner.data.schema import Entity, Example
from genner.evaluation.calibration import Calibration
from genner.evaluation.span_f1 import SpanF1, entity_surfaces
from genner.evaluation.thresholds import LeastScores
from genner.formulations import formulation_class
from genner.formulations.opening import open_task
from genner.formulations.undecided import Undecided
from genner.model.folder import ModelFolder
from genner.prediction.scores import ModelCalibration, Scoring
from genner.training.predictions import Prediction
from genner.training.samplers import LoaderConfig, build_loader

KIND = "made by hand"
N = 120
FIG, AWL, PLUM = (Entity.from_flat(*one) for one in (("FRUIT", [0, 1]), ("TOOL", [1, 2]), ("FRUIT", [2, 3])))
EXAMPLES = {
    "dev": [Example(("fig", "awl", str(number)), (FIG,)) for number in range(N)],
    "test": [Example(("fig", "awl", f"{number}.5"), (FIG, PLUM)) for number in range(20)],
    "blind": [Example(("fig", "awl", "so"), ())],
}
Answers = Mapping[str, Callable[[int], Prediction]]


class Scripted(nn.Module):
    """Answers by the way it is used: ``plain``, or the value of its only choice, ``care``.

    Attributes:
        log: (way, split) of everything that was read, shared by all ways.
    """

    score_kind = KIND
    doubt = 0.05

    def __init__(self, answers: Answers, way: str = "plain", log: list[tuple[str, str]] | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.answers, self.way, self.log = answers, way, [] if log is None else log

    def predict(self, batches: Any) -> Iterator[Prediction]:
        for batch in batches:
            self.log.append((self.way, batch["split"]))
            yield from (replace(self.answers[self.way](number), example_idx=number) for number in batch["numbers"])

    def undecided(self) -> dict[str, Undecided]:
        values = [float(way) for way in self.answers if way not in ("plain", "free")]
        return {"care": Undecided(values, self.doubt)}

    def may_differ(self, prediction: Prediction, choices: Mapping[str, float]) -> bool:
        return prediction.least_mass < choices["care"]

    def varied(self, choices: Mapping[str, float]) -> Scripted:
        return Scripted(self.answers, f"{choices['care']:g}", self.log)

    def variants(self) -> dict[str, Scripted]:
        return {"free": Scripted(self.answers, "free", self.log)}


def found(*pairs: tuple[Entity, float], mass: float = 0.01, **counts: int) -> Prediction:
    entities, scores = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return Prediction(0, entities, scores, counts=Counter(counts), least_mass=mass)


def wrong_in(n: int, score: float = 0.9, **about: Any) -> Callable[[int], Prediction]:
    """Always right, and wrong as well in the first ``n`` sentences, by default with the same score."""
    return lambda number: found((FIG, 0.9), *[(AWL, score)] * (number < n), **about)


@pytest.fixture
def fit_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[DevFit, Scripted]]:
    """A seed whose model is a script."""
    (tmp_path / "seed" / "best").mkdir(parents=True)

    def made(splits: Sequence[str] = ("dev", "test"), *, decides: bool = True, **answers: Any):
        ways = {"free": wrong_in(0), **{name.removeprefix("care_"): answer for name, answer in answers.items()}}
        task = Scripted(ways)
        monkeypatch.setattr(dev_fit.ModelFolder, "read", lambda folder: folder)
        opened = lambda _, __, choices: task.varied(choices) if choices else task  # noqa: E731
        monkeypatch.setattr(dev_fit, "open_task", opened)
        return DevFit(tmp_path / "seed", "cpu", EXAMPLES, loaders(splits), SpanF1, decides=decides), task

    return made


def loaders(splits: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    return {split: [{"split": split, "numbers": range(len(EXAMPLES[split]))}] for split in splits}


def lines(fit: DevFit, split: str) -> list[dict[str, Any]]:
    text = (fit.folder / f"predictions.{split}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_the_best_of_the_choices_that_are_surely_better_is_taken(fit_of: Callable) -> None:
    ways = {"plain": wrong_in(60), "care_1": wrong_in(59), "care_2": wrong_in(10), "care_3": wrong_in(30)}
    fit, task = fit_of(**ways)
    done = fit.run()
    assert done.choices == {"care": 2.0}
    assert ModelCalibration.read(fit.folder / "best").choices == {"care": 2.0}
    assert (done.plain["dev"]["f"], done.scores["dev"]["f"]) == (80.0, 96.0)
    assert done.scores["dev"]["predicted"] == len([one for row in lines(fit, "dev") for one in row["pred"]]) == 130
    assert task.log == [
        ("plain", "dev"), ("plain", "test"), ("1", "dev"), ("2", "dev"), ("3", "dev"), ("2", "test"),
        ("free", "test"),
    ]  # fmt: skip  nothing is read twice in one way


def test_a_choice_that_may_be_better_by_chance_is_not_taken(fit_of: Callable) -> None:
    fit, task = fit_of(plain=wrong_in(60), care_1=wrong_in(58), care_2=wrong_in(70))
    done = fit.run()
    assert done.choices == {} and done.plain["dev"]["f"] == 80.0
    assert [row["pred"] for row in lines(fit, "dev")] == [
        [{"type": one.label, "spans": [[one.start, one.end]], "text": word, "score": score}
         for one, word, score in ((FIG, "fig", 0.9), (AWL, "awl", 0.9))[: 1 + (number < 60)]]
        for number in range(N)
    ]  # fmt: skip
    assert task.log.count(("plain", "dev")) == 1, "it is not read again"


def test_a_choice_that_other_data_speak_for_is_taken_unless_dev_speaks_against_it(
    fit_of: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scripted, "doubt", 1.0)
    fit, _ = fit_of(plain=wrong_in(60), care_1=wrong_in(58), care_2=wrong_in(70))
    assert fit.run().choices == {"care": 1.0}
    fit, _ = fit_of(plain=wrong_in(60), care_1=wrong_in(60), care_2=wrong_in(61))
    assert fit.run().choices == {}


def test_choices_that_change_nothing_are_not_searched(fit_of: Callable) -> None:
    """What was forced had a probability of 2 at least, so that only the last choice gives anything up."""
    fit, task = fit_of(plain=wrong_in(60, mass=2.0), care_1=wrong_in(0), care_2=wrong_in(0), care_3=wrong_in(5))
    assert fit.run().choices == {"care": 3.0}
    assert {way for way, _ in task.log} == {"plain", "3", "free"}


def test_ways_of_searching_stand_side_by_side(fit_of: Callable) -> None:
    fit, _ = fit_of(
        plain=lambda number: found((FIG, 0.95), (AWL, 0.9), forced=2, repeated=number % 2),
        care_2=lambda number: found((FIG, 0.95), order=1),
        free=lambda number: replace(found(), rejected=[("order", number)]),
    )
    done = fit.run()
    assert list(done.searches) == ["default", "plain", "free"]
    assert done.searches["default"] == {
        "f": 66.67, "pre": 100.0, "rec": 50.0, "strict_f": 66.67, "em": 0.0, "predicted": 20, "rejected": {},
        "counts": {"order": 20},
    }  # fmt: skip
    assert done.searches["plain"]["counts"] == {"forced": 40, "repeated": 10}
    assert done.searches["plain"]["predicted"] == 40
    assert (done.searches["free"]["rejected"], done.searches["free"]["counts"]) == ({"order": 20}, {})
    for split in ("dev", "test"):
        assert done.searches["default"]["f"] == done.scores["test"]["f"]
        assert {"f", "per_label", "subsets", "counts"} <= set(done.plain[split]) & set(done.scores[split])


def test_what_has_too_low_a_score_is_left_out_everywhere(fit_of: Callable) -> None:
    fit, _ = fit_of(plain=wrong_in(70, score=0.05))
    done = fit.run()
    least = ModelCalibration.read(fit.folder / "best").of(KIND).least
    assert 0 < least.common < 1 and least.by_type.keys() == {"FRUIT", "TOOL"}
    assert least.f_before == done.plain["dev"]["f"] == pytest.approx(100 * 240 / 310, abs=0.005)
    assert least.f_after == done.scores["dev"]["f"] == 100.0
    assert (done.plain["dev"]["predicted"], done.scores["dev"]["predicted"]) == (190, 120)
    assert done.searches["default"]["counts"] == {"left_out": 20}
    assert done.searches["plain"]["counts"] == {}
    for split, n_left_out in (("dev", 70), ("test", 20)):
        rows = lines(fit, split)
        assert all([one["text"] for one in row["pred"]] == ["fig"] for row in rows)
        left_out = [row["left_out"] for row in rows if "left_out" in row]
        assert left_out == [[{"type": "TOOL", "spans": [[1, 2]], "text": "awl", "score": 0.05}]] * n_left_out
    judged = list(read_predictions(fit.folder / "predictions.dev.jsonl"))
    assert judged[0].left_out == [(AWL, 0.05)] and judged[-1].left_out == []
    assert list(judged[0].judged_scores()) == [(0.9, True), (0.05, False)]


def test_a_split_without_known_entities_is_read_as_the_model_is_used(fit_of: Callable) -> None:
    fit, task = fit_of(plain=wrong_in(90), care_1=wrong_in(50, score=0.05))
    assert fit.run().choices == {"care": 1.0}
    path = fit.predict_unlabelled("blind", loaders(["blind"])["blind"])
    assert path == fit.folder / "predictions.blind.jsonl" and task.log[-1] == ("1", "blind")
    (row,) = lines(fit, "blind")
    assert row.keys() == {"raw_words", "pred", "left_out"}
    assert ([one["text"] for one in row["pred"]], [one["text"] for one in row["left_out"]]) == (["fig"], ["awl"])


def test_nothing_is_decided_where_that_is_switched_off(fit_of: Callable) -> None:
    fit, task = fit_of(plain=wrong_in(70, score=0.05), care_1=wrong_in(0), decides=False)
    done = fit.run()
    assert (done.choices, done.plain, list(done.searches)) == ({}, {}, ["default", "free"])
    assert done.scores["dev"]["predicted"] == 190
    assert {way for way, _ in task.log} == {"plain", "free"}
    stored = ModelCalibration.read(fit.folder / "best")
    assert stored.choices == {} and stored.of(KIND).least == LeastScores()
    assert stored.of(KIND).calibration.n == 190, "scores are calibrated all the same"
    assert not any("left_out" in row for split in ("dev", "test") for row in lines(fit, split))
    switched_on = fit_of(plain=wrong_in(70, score=0.05))[0].run()
    assert switched_on.plain == done.scores


def test_without_dev_everything_found_counts(fit_of: Callable) -> None:
    fit, task = fit_of(["test"], plain=wrong_in(70, score=0.05), care_1=wrong_in(0))
    (fit.folder / "best" / "calibration.json").write_text("of an earlier model", encoding="utf-8")
    done = fit.run()
    assert ModelCalibration.read(fit.folder / "best") == ModelCalibration()
    assert done.choices == {} and done.plain == done.scores and list(done.scores) == ["test"]
    assert done.scores["test"]["predicted"] == 40
    assert {way for way, _ in task.log} == {"plain", "free"}


def test_without_any_split_there_is_nothing_to_score(fit_of: Callable) -> None:
    fit, task = fit_of([], plain=wrong_in(1))
    done = fit.run()
    assert (done.scores, done.plain, done.searches, done.choices, task.log) == ({}, {}, {}, {}, [])
    assert ModelCalibration.read(fit.folder / "best") == ModelCalibration()


def test_without_test_dev_is_the_split_that_counts(fit_of: Callable) -> None:
    fit, task = fit_of(["dev"], plain=wrong_in(60), care_1=wrong_in(0))
    done = fit.run()
    assert (done.searches["plain"]["f"], done.searches["default"]["f"]) == (80.0, 100.0)
    assert task.log[-1] == ("free", "dev")


def test_scores_that_are_no_probabilities_leave_nothing_out(fit_of: Callable) -> None:
    done = (fit := fit_of(plain=wrong_in(70, score=-3.0))[0]).run()
    assert done.scores == done.plain
    assert ModelCalibration.read(fit.folder / "best").of(KIND) is None


def test_what_a_killed_process_left_is_cleared(fit_of: Callable) -> None:
    fit, _ = fit_of(plain=wrong_in(3))
    fit.run()
    path = fit.folder / "best" / "calibration.json"
    content = path.read_bytes()
    path.unlink()
    leftover = path.with_name(f".{path.name}.77.tmp")
    leftover.write_bytes(content[:20])
    fit.run()
    assert path.read_bytes() == content and not leftover.exists()


def test_an_entity_stays_with_all_its_repetitions_if_its_best_score_is_high_enough() -> None:
    twice = found((FIG, 0.3), (AWL, 0.3), (FIG, 0.8))
    (kept,), (left_out,) = leave_out([twice], Scoring(KIND, least=LeastScores(0.5)))
    assert (kept.entities, kept.scores) == ([FIG, FIG], [0.3, 0.8])
    assert left_out == [(AWL, 0.3)]


def test_scores_in_files_are_those_of_the_model() -> None:
    """Only what is left out is told by the calibrated ones."""
    scoring = Scoring(KIND, Calibration(shift=-2.0), least=LeastScores(0.5))
    (kept,), (left_out,) = leave_out([found((FIG, 0.9), (AWL, 0.8))], scoring)
    assert (kept.scores, left_out) == ([0.9], [(AWL, 0.8)])


def test_what_lacks_an_entity_is_not_the_exact_output_any_more() -> None:
    least = Scoring(KIND, least=LeastScores(0.5))
    whole, cut = (replace(found((FIG, 0.9), *more), exact=True) for more in ((), ((AWL, 0.2),)))
    kept, _ = leave_out([whole, cut], least)
    assert kept[0] is whole
    assert (kept[1].exact, kept[1].entities) == (None, [FIG])


# The real thing.


@pytest.fixture(scope="module")
def result(trained_run: Path) -> dict[str, Any]:
    return json.loads(((trained_run / "best").resolve().parent / "result.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def trained(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> DevFit:
    """As training made it for the small model, on a copy of its folder without what DevFit writes."""
    folder = tmp_path_factory.mktemp("again")
    seed = folder / "seed-1"
    shutil.copytree((trained_run / "best").resolve().parent, seed)
    for path in (seed / "best" / "calibration.json", *seed.glob("predictions.*.jsonl")):
        path.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        recipe = load_recipe(trained_run / "recipe.yaml")
        corpus, labels, _ = check_corpus(recipe, open_corpus(recipe))
        rows = {
            split: one.rows for split, one in formulation_class("pointer")(recipe).encode(corpus, labels).splits.items()
        }
    collate = open_task(ModelFolder.read(seed / "best"), "cpu", {}).collate
    config = LoaderConfig(size=recipe.batching.eval_size, shuffle=False, bucket=recipe.batching.bucket)
    made = {split: build_loader(rows[split], rows[split].lengths, collate, config) for split in ("dev", "test")}
    metric = partial(SpanF1, seen_surfaces=entity_surfaces(corpus.examples["train"]))
    return DevFit(seed, "cpu", corpus.examples, made, metric)


@pytest.mark.slow
def test_the_second_time_gives_the_same_bytes(trained: DevFit, trained_run: Path, result: dict[str, Any]) -> None:
    done = trained.run()
    before = (trained_run / "best").resolve().parent
    for name in ("best/calibration.json", "predictions.dev.jsonl", "predictions.test.jsonl"):
        assert (trained.folder / name).read_bytes() == (before / name).read_bytes(), name
    again = json.loads(json.dumps(done.__dict__))
    assert again["scores"] == {split: result[split] for split in ("dev", "test")}
    assert {key: again[key] for key in ("plain", "searches", "choices")} == {
        key: result[key] for key in ("plain", "searches", "choices")
    }


@pytest.mark.slow
def test_switched_off_the_model_is_scored_as_it_was_before(trained: DevFit, result: dict[str, Any]) -> None:
    done = replace(trained, decides=False).run()
    assert json.loads(json.dumps(done.scores)) == result["plain"]
    assert (done.plain, done.choices, list(done.searches)) == ({}, {}, ["default", "unconstrained"])
    (fitted,) = ModelCalibration.read(trained.folder / "best").scores
    assert fitted.least == LeastScores()


def test_a_trained_model_has_its_searches_side_by_side(trained_run: Path, result: dict[str, Any]) -> None:
    searches = result["searches"]
    assert list(searches) == ["default", "plain", "unconstrained"]
    for name, scores in (("default", result["test"]), ("plain", result["plain"]["test"])):
        assert all(scores[key] == searches[name][key] for key in ("f", "pre", "rec", "strict_f", "em", "predicted"))
        assert searches[name]["rejected"] == {}, "the search keeps to its rules"
    assert searches["plain"]["counts"]["forced"] > 0
    assert searches["unconstrained"]["counts"] == {}
    left_out = [one for row in read_predictions(trained_run / "best" / ".." / "predictions.test.jsonl")
                for one in row.left_out]  # fmt: skip
    assert searches["default"]["counts"].get("left_out", 0) == len(left_out)
    if not result["choices"]:
        assert searches["default"]["predicted"] + len(left_out) == searches["plain"]["predicted"]


def test_when_to_give_up_and_to_end_is_open_unless_it_is_set(trained_model: Path) -> None:
    folder = ModelFolder.read(trained_model)

    def undecided(**choices: Any) -> dict[str, Undecided]:
        return open_task(folder, "cpu", choices).undecided()

    values = undecided()["give_up"].values
    assert list(values) == sorted(set(values)) and values[0] > 0 and values[-1] <= 1
    assert list(undecided()) == ["give_up", "eos_penalty"]
    assert list(undecided(give_up=0.3)) == list(undecided(give_up=0.0)) == ["eos_penalty"]
    assert list(undecided(eos_penalty=0)) == ["give_up"]
    assert undecided(constrained=False) == {}
    task = open_task(folder, "cpu", {})
    varied = task.varied({"give_up": 0.3})
    assert varied.search.give_up == 0.3 and varied.model is task.model and task.search.give_up is None
    assert task.may_differ(Prediction(0, least_mass=0.29), {"give_up": 0.3})
    assert not task.may_differ(Prediction(0, least_mass=0.3), {"give_up": 0.3})
    assert not task.may_differ(Prediction(0), {"give_up": 1.0}), "nothing was forced"
