"""The run folder and the results of the seeds."""

from __future__ import annotations

import json
import os

import pytest

from genner.errors import ConfigError
from genner.files import write_text
from genner.training.job import FitResult
from genner.training.results import RunInfo, peak_memory_mb, run_result, seed_result, versions
from genner.training.runs import RunFolder

RECIPE = "dataset: toy\noptim:\n  lr: 1.0e-05\n  schedule: linear\nseeds:\n- 1\nreported: {}\n"
INFO = RunInfo("toy", "pointer", "scratch:tiny", {"f1": [80.0]}, {"train": {"sentences": 3}}, "python train.py")


def fitted(status="ok", dev=80.0, test=70.0):
    scores = {"dev": {"f": dev, "pre": dev, "support": 7, "per_label": {}}, "test": {"f": test}}
    return FitResult(status, 2, 3, 60, 12.5, "cpu", scores)


def test_the_result_of_a_seed_has_the_keys_of_the_contract():
    result = seed_result(4, fitted())
    assert list(result) == [
        "seed", "status", "best_epoch", "epochs", "steps", "steps_per_second", "train_seconds", "peak_memory_mb",
        "dev", "test", "history",
    ]  # fmt: skip
    assert result["steps_per_second"] == 4.8
    assert result["peak_memory_mb"] == pytest.approx(peak_memory_mb(), rel=0.2) and result["peak_memory_mb"] > 50
    json.dumps(result, allow_nan=False)


def test_collapsed_seeds_are_counted_and_not_averaged():
    seeds = [
        seed_result(1, fitted(dev=80.0, test=70.0)),
        seed_result(2, fitted("collapsed", 1.0, 1.0)),
        seed_result(3, fitted(dev=82.0, test=73.0)),
    ]
    result = run_result(INFO, seeds)
    assert list(result) == [
        "dataset", "formulation", "backbone", "seeds", "mean", "std", "min", "max", "ci95", "mean_with_collapsed",
        "n_ok", "n_collapsed", "n_failed", "reported", "fingerprint", "command", "versions",
    ]  # fmt: skip
    assert result["mean"] == {"dev_f": 81.0, "dev_pre": 81.0, "test_f": 71.5}
    assert result["std"]["test_f"] == pytest.approx(2.1213)
    assert result["min"]["test_f"] == 70.0 and result["max"]["test_f"] == 73.0
    # 71.5 ± 12.706 * 2.1213 / sqrt(2), the quantile from a printed table of Student's t with one degree of freedom
    assert result["ci95"]["test_f"] == pytest.approx([71.5 - 19.06, 71.5 + 19.06], abs=0.01)
    assert result["mean_with_collapsed"]["test_f"] == pytest.approx((70 + 73 + 1) / 3, abs=1e-3)
    assert (result["n_ok"], result["n_collapsed"], result["n_failed"]) == (2, 1, 0)
    assert run_result(INFO, seeds[:1])["std"] == {} and run_result(INFO, seeds[:1])["mean"]["test_f"] == 70.0
    assert run_result(INFO, seeds[1:2])["mean"] == {}


def test_versions_name_what_moves_numbers():
    assert versions()["fastNLP"] == "1.0.1"
    assert {"python", "torch", "transformers", "numpy"} <= versions().keys()


def test_the_best_seed_is_linked_and_every_file_written(tmp_path):
    run = RunFolder.open(tmp_path / "toy" / "first", RECIPE)
    seeds = []
    for seed, dev in ((1, 80.0), (2, 85.0), (3, 83.0)):
        write_text(run.seed(seed) / "best" / "labels.json", "[]")
        seeds.append(seed_result(seed, fitted("collapsed" if seed == 2 else "ok", dev)))
        run.finish_seed(seed, seeds[-1], RECIPE)
    run.finish(run_result(INFO, seeds))
    assert os.readlink(run.path / "best") == "seed-3/best"
    assert (run.path / "best" / "recipe.yaml").read_text() == RECIPE
    assert run.results() == seeds
    assert json.loads((run.path / "result.json").read_text())["n_ok"] == 2
    assert json.loads((run.path / "seed-2" / "result.json").read_text())["status"] == "collapsed"


def test_without_dev_scores_test_decides(tmp_path):
    run = RunFolder.open(tmp_path / "first", RECIPE)
    seeds = []
    for seed, test in ((1, 70.0), (2, 71.0)):
        write_text(run.seed(seed) / "best" / "labels.json", "[]")
        seeds.append({**seed_result(seed, fitted(test=test)), "dev": {}})
    run.finish(run_result(INFO, seeds))
    assert os.readlink(run.path / "best") == "seed-2/best"


def test_the_same_recipe_is_continued_also_with_more_seeds(tmp_path):
    RunFolder.open(tmp_path / "first", RECIPE)
    more = RECIPE.replace("- 1\n", "- 1\n- 2\n")
    assert RunFolder.open(tmp_path / "first", more).path == tmp_path / "first"
    assert (tmp_path / "first" / "recipe.yaml").read_text() == more


def test_a_run_that_never_began_may_change_its_recipe(tmp_path):
    RunFolder.open(tmp_path / "first", RECIPE)
    other = RECIPE.replace("1.0e-05", "2.0e-05")
    RunFolder.open(tmp_path / "first", other)
    assert (tmp_path / "first" / "recipe.yaml").read_text() == other


def test_another_recipe_under_the_same_name_is_refused_with_the_settings_that_differ(tmp_path):
    run = RunFolder.open(tmp_path / "first", RECIPE)
    write_text(run.seed(1) / "last" / "state.pt", "the state after an epoch")
    other = RECIPE.replace("1.0e-05", "2.0e-05").replace("schedule: linear", "schedule: constant")
    with pytest.raises(
        ConfigError,
        match=r"holds a run with another recipe: optim.lr is 1e-05 there and 2e-05 here; optim.schedule is 'linear' "
        r"there and 'constant' here. .* Choose another --run_name",
    ):
        RunFolder.open(tmp_path / "first", other)
    assert (tmp_path / "first" / "recipe.yaml").read_text() == RECIPE


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    write_text(tmp_path / "mine" / "thesis.tex", "precious")
    with pytest.raises(ConfigError, match=r"mine: holds no run \(no recipe.yaml\)"):
        RunFolder.open(tmp_path / "mine", RECIPE)
    (tmp_path / "empty").mkdir()
    RunFolder.open(tmp_path / "empty", RECIPE)
