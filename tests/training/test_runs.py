"""The run folder and the results of the seeds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from genner.errors import ConfigError
from genner.files import write_text
from genner.training.job import FitResult
from genner.training.results import RunInfo, failed_result, peak_memory_mb, run_result, seed_result, versions
from genner.training.runs import RunFolder
from tests.training.identities import IDENTITY, with_data, with_settings

RECIPE = "dataset: toy\n"
INFO = RunInfo("toy", "pointer", "word", "scratch:tiny", {"f1": [80.0]}, {"train": {"sentences": 3}}, "python train.py")


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
        "dataset", "formulation", "target", "backbone", "seeds", "mean", "std", "min", "max", "ci95",
        "mean_plain", "std_plain", "mean_with_collapsed", "n_ok", "n_collapsed", "n_failed", "reported", "fingerprint",
        "command", "versions",
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
    assert result["mean_plain"] == result["std_plain"] == {}, "nothing was decided on dev"


def test_scores_before_anything_was_decided_are_averaged_beside_the_others():
    seeds = [
        seed_result(1, fitted(dev=80.0, test=70.0)) | {"plain": {"dev": {"f": 79.0}, "test": {"f": 66.0}}},
        seed_result(2, fitted("collapsed", 1.0, 1.0)) | {"plain": {"dev": {"f": 1.0}, "test": {"f": 1.0}}},
        seed_result(3, fitted(dev=82.0, test=73.0)) | {"plain": {"test": {"f": 70.0}}},
        failed_result(4, "killed by SIGKILL"),
    ]
    result = run_result(INFO, seeds)
    assert result["mean_plain"] == {"dev_f": 79.0, "test_f": 68.0}
    assert result["std_plain"] == {"test_f": pytest.approx(8**0.5, abs=1e-4)}
    assert result["mean"]["test_f"] == 71.5


def test_versions_name_what_moves_numbers():
    assert versions()["fastNLP"] == "1.0.1"
    assert {"python", "torch", "transformers", "numpy"} <= versions().keys()


def test_a_system_that_does_not_count_memory_is_no_error():
    """Windows has no ``resource``."""
    program = (
        "import sys; sys.modules['resource'] = None\n"
        "from genner.training.results import peak_memory_mb; print(peak_memory_mb())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "0.0\n"


def test_the_best_seed_is_linked_and_every_file_written(tmp_path):
    run = RunFolder.open(tmp_path / "toy" / "first", IDENTITY, RECIPE)
    seeds = []
    for seed, dev in ((1, 80.0), (2, 85.0), (3, 83.0)):
        write_text(run.seed(seed) / "best" / "model.json", "[]")
        seeds.append(seed_result(seed, fitted("collapsed" if seed == 2 else "ok", dev)))
        run.finish_seed(seed, seeds[-1], RECIPE)
    run.finish(run_result(INFO, seeds))
    assert os.readlink(run.path / "best") == "seed-3/best"
    assert (run.path / "best" / "recipe.yaml").read_text() == RECIPE
    assert run.results() == seeds
    assert json.loads((run.path / "result.json").read_text())["n_ok"] == 2
    assert json.loads((run.path / "seed-2" / "result.json").read_text())["status"] == "collapsed"


def test_without_dev_scores_test_decides(tmp_path):
    run = RunFolder.open(tmp_path / "first", IDENTITY, RECIPE)
    seeds = []
    for seed, test in ((1, 70.0), (2, 71.0)):
        write_text(run.seed(seed) / "best" / "model.json", "[]")
        seeds.append({**seed_result(seed, fitted(test=test)), "dev": {}})
    run.finish(run_result(INFO, seeds))
    assert os.readlink(run.path / "best") == "seed-2/best"


def begun(path, *, identity=IDENTITY, finished=(), states=()):
    """A run whose seeds are ``finished``, or have come to the end of an epoch."""
    run = RunFolder.open(path, identity, RECIPE)
    for seed in states:
        write_text(run.seed(seed) / "last" / "state.pt", "the state after an epoch")
    for seed in finished:
        run.finish_seed(seed, seed_result(seed, fitted()), RECIPE)
    return run


def test_the_same_run_is_continued_and_its_recipe_text_is_the_latest(tmp_path):
    run = begun(tmp_path / "first", finished=[1])
    before = (run.path / "run.json").read_bytes()
    assert RunFolder.open(run.path, IDENTITY, "another text") == run
    assert (run.path / "run.json").read_bytes() == before
    assert (run.path / "recipe.yaml").read_text() == "another text"
    assert run.identity == IDENTITY


def test_other_versions_are_noted_and_those_of_the_beginning_kept(tmp_path, caplog):
    caplog.set_level("INFO", logger="genner.training")
    run = begun(tmp_path / "first", finished=[1])
    RunFolder.open(run.path, replace(IDENTITY, versions={"torch": "2.11.0"}), RECIPE)
    assert "first: library versions have changed: torch 2.13.0 -> 2.11.0" in caplog.text
    assert run.identity.versions == {"torch": "2.13.0"}


@pytest.mark.parametrize("failed", [False, True])
def test_a_run_that_never_came_to_the_end_of_an_epoch_may_change(tmp_path, failed):
    run = begun(tmp_path / "first")
    if failed:
        run.finish_seed(1, failed_result(1, "out of memory"), RECIPE)
    RunFolder.open(run.path, with_settings(**{"optim.lr": 2e-05}), "other")
    assert run.identity == with_settings(**{"optim.lr": 2e-05})
    assert (run.path / "recipe.yaml").read_text() == "other"


@pytest.mark.parametrize("stage", [{"finished": [1]}, {"states": [1]}])
def test_another_run_under_the_same_name_is_refused_with_all_that_differs(tmp_path, stage):
    run = begun(tmp_path / "first", **stage)
    before = (run.path / "run.json").read_bytes()
    other = replace(
        with_data("train", sentences=9, entities=5, sha256="c"),
        settings=with_settings(**{"optim.lr": 2e-05, "optim.schedule": "constant"}).settings,
        labels=("LOC", "ORG"),
    )
    with pytest.raises(
        ConfigError,
        match=r"first: holds another run: optim.lr was 1e-05 and is now 2e-05; optim.schedule was \"linear\" "
        r"and is now \"constant\"; data: train differs \(sentences: 14,041 before, 9 now; entities: 23,499 before, "
        r"5 now\); labels removed: PER; labels added: ORG. Expected .* --run_name, or remove the folder",
    ):
        RunFolder.open(run.path, other, "other")
    assert (run.path / "run.json").read_bytes() == before
    assert (run.path / "recipe.yaml").read_text() == RECIPE


def test_the_advice_works(tmp_path):
    other = with_data("dev", sha256="c")
    run = begun(tmp_path / "first", finished=[1])
    with pytest.raises(ConfigError, match=r"dev differs \(same counts, different content\)"):
        RunFolder.open(run.path, other, RECIPE)
    RunFolder.open(tmp_path / "second", other, RECIPE)
    shutil.rmtree(run.path)
    RunFolder.open(run.path, other, RECIPE)


def test_a_process_of_a_seed_notices_that_the_data_was_exchanged_meanwhile(tmp_path):
    run = begun(tmp_path / "first")
    RunFolder(run.path).check(IDENTITY)
    with pytest.raises(ConfigError, match=r"holds another run: data: dev differs"):
        RunFolder(run.path).check(with_data("dev", entities=1, sha256="c"))


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    write_text(tmp_path / "mine" / "thesis.tex", "precious")
    with pytest.raises(ConfigError, match=r"mine: holds something else \(no run.json\). Expected a new name"):
        RunFolder.open(tmp_path / "mine", IDENTITY, RECIPE)
    with pytest.raises(ConfigError, match=r"thesis.tex: holds something else"):
        RunFolder.open(tmp_path / "mine" / "thesis.tex", IDENTITY, RECIPE)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    (tmp_path / "empty").mkdir()
    write_text(tmp_path / "empty" / ".run.json.17.tmp", "of a process that was killed while it wrote the first file")
    RunFolder.open(tmp_path / "empty", IDENTITY, RECIPE)


def test_a_run_of_an_earlier_version_is_refused(tmp_path):
    write_text(tmp_path / "old" / "recipe.yaml", RECIPE)
    with pytest.raises(ConfigError, match=r"old: holds a run of an earlier version .* Choose another --run_name"):
        RunFolder.open(tmp_path / "old", IDENTITY, RECIPE)


CONSTANT = {"optim.schedule": "constant"}
LONGER = with_settings(**CONSTANT, **{"training.epochs": 5})


def test_a_run_with_kept_states_and_a_constant_rate_gets_more_epochs(tmp_path):
    run = begun(tmp_path / "first", identity=with_settings(**CONSTANT), finished=[1, 2], states=[1, 2, 3])
    collapsed = seed_result(4, fitted("collapsed"))
    run.finish_seed(4, collapsed, RECIPE)
    RunFolder.open(run.path, LONGER, RECIPE)
    assert run.identity == LONGER
    assert run.results() == [collapsed], "no score of fewer epochs is left"
    assert (run.seed(1) / "last" / "state.pt").exists()
    RunFolder.open(run.path, LONGER, RECIPE)
    with pytest.raises(ConfigError, match=r"training.epochs was 5 and is now 2"):
        RunFolder.open(run.path, with_settings(**CONSTANT), RECIPE)


def test_killed_before_it_is_called_longer_a_run_is_lengthened_by_the_same_command(tmp_path, monkeypatch):
    run = begun(tmp_path / "first", identity=with_settings(**CONSTANT), finished=[1, 2], states=[1, 2])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        RunFolder.open(run.path, LONGER, RECIPE)
    assert run.identity == with_settings(**CONSTANT) and run.results() == []
    RunFolder.open(run.path, with_settings(**CONSTANT), RECIPE)
    RunFolder.open(run.path, LONGER, RECIPE)
    assert run.identity == LONGER


@pytest.mark.parametrize(("schedule", "states"), [("linear", [1, 2]), ("constant", [1]), ("constant", [])])
def test_other_runs_get_no_more_epochs_and_are_told_what_to_do(tmp_path, schedule, states):
    identity = with_settings(**{"optim.schedule": schedule})
    run = begun(tmp_path / "first", identity=identity, finished=[1, 2], states=states)
    longer = replace(identity, settings={**identity.settings, "training.epochs": 5})
    with pytest.raises(
        ConfigError,
        match=r"first: holds a run of 2 epochs and cannot be extended to 5. Expected optim.schedule=constant, .* "
        r"training.keep_state=true. Choose another --run_name to train 5 epochs from the beginning",
    ):
        RunFolder.open(run.path, longer, RECIPE)
    assert run.identity == identity and len(run.results()) == 2


def test_more_epochs_of_another_run_are_refused_for_all_that_differs(tmp_path):
    run = begun(tmp_path / "first", identity=with_settings(**CONSTANT), finished=[1], states=[1])
    other = replace(LONGER, settings={**LONGER.settings, "optim.lr": 2e-05})
    with pytest.raises(ConfigError, match=r"optim.lr was 1e-05 .*; training.epochs was 2 and is now 5"):
        RunFolder.open(run.path, other, RECIPE)
