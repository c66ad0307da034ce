"""Sweeps: what a file expands to, what is wrong with one, run names, the table, and two experiments from end to end."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genner.app.launch import run_all
from genner.app.sweep import is_finished, sweep_rows, write_sweep
from genner.app.sweep_plan import Plan, plan_sweep, read_sweep
from genner.cli import PROGRAM
from genner.commands import sweep, train
from genner.errors import ConfigError, DataFormatError, MissingBackendError
from tests.test_train import FLAT, ROOT, write_corpus

GRID = """
name: units
base: {dataset_name: demo, seeds: [1, 2], optim: {warmup_ratio: 0.1}}
grid: {optim.lr: [1e-3, 5e-4], pointer.unit: [word, span]}
list: [{pointer.encoder_mlp: false}, {pointer: {num_beams: 4}}]
"""


def recipe_of(arguments: list[str]):
    return train.recipe_of(train.parse(arguments))


def write(folder: Path, text: str, name: str = "s.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def plan(folder: Path, text: str, name: str = "s.yaml") -> Plan:
    return plan_sweep(read_sweep(write(folder, text, name)), folder / "runs", recipe_of)


# What a file expands to


def test_a_grid_gives_all_combinations_and_a_list_its_entries(tmp_path: Path) -> None:
    found = plan(tmp_path, GRID)
    assert found.columns == ("optim.lr", "pointer.unit", "pointer.encoder_mlp", "pointer.num_beams")
    values = [tuple(experiment.settings.values()) for experiment in found.experiments]
    assert values == [
        (0.001, "word", True, 1), (0.001, "span", True, 1), (0.0005, "word", True, 1), (0.0005, "span", True, 1),
        (0.0013, "word", False, 1), (0.0013, "word", True, 4),
    ]  # fmt: skip
    for experiment in found.experiments:
        assert experiment.recipe.seeds == [1, 2] and experiment.recipe.optim.warmup_ratio == 0.1
        assert experiment.folder == tmp_path / "runs" / "demo" / experiment.run
        assert recipe_of(list(experiment.arguments)) == experiment.recipe


def test_names_follow_from_the_settings_alone(tmp_path: Path) -> None:
    before = plan(tmp_path, GRID)
    runs = [experiment.run for experiment in before.experiments]
    assert len(set(runs)) == 6 and all(run.startswith("units-") for run in runs)
    other = """
name: units
base: {optim.warmup_ratio: 0.1, seeds: [1, 2, 3], data.cache: false, pointer.dropout: 0.1}
list: [{pointer.num_beams: 4}, {pointer: {encoder_mlp: false}}]
grid: {pointer.unit: [bpe, span, word], pointer.word_dropout: [0.2, 0.1], optim.lr: ["5e-4", 0.001, 2e-3]}
"""
    after = plan(tmp_path, other)  # new order, new values, a new axis, another seed; what stood there keeps its name
    assert set(runs) < {experiment.run for experiment in after.experiments}
    assert len(after.experiments) == 20


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "base: {limit: 5}\ngrid: {optim.lr: [1e-3], pointer: {unit: [word, span]}}"),
        ("a.json", '{"base": {"data": {"limit": 5}}, "grid": {"pointer.unit": ["word", "span"], "optim.lr": [0.001]}}'),
        (
            "a.jsonnet",
            "{base: {data: {limit: 5}}, list: [{optim: {lr: 1e-3}, pointer: {unit: u}} for u in ['word', 'span']]}",
        ),
    ],
)
def test_the_three_formats_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    if name.endswith("jsonnet"):
        pytest.importorskip("_jsonnet")
    found = plan(tmp_path, text, name)
    assert found.name == "a" and found.columns == ("pointer.unit",)
    assert [(e.recipe.optim.lr, e.recipe.settings.unit.value, e.recipe.data.limit) for e in found.experiments] == [
        (0.001, "word", 5),
        (0.001, "span", 5),
    ]


def test_jsonnet_imports_lie_in_the_folder_of_the_file(tmp_path: Path) -> None:
    pytest.importorskip("_jsonnet")
    folder = tmp_path / "sweeps"
    (folder / "parts").mkdir(parents=True)
    whole = "{base: import 'base.libsonnet', grid: {'pointer.unit': ['word', 'span']}}"
    write(folder / "parts", whole, "all.libsonnet")
    write(folder / "parts", "{limit: 7}", "base.libsonnet")
    write(tmp_path, "{limit: 8}", "outside.libsonnet")
    found = plan(folder, "import 'parts/all.libsonnet'", "s.jsonnet")
    assert [experiment.recipe.data.limit for experiment in found.experiments] == [7, 7]
    with pytest.raises(ConfigError, match=r'import "\.\./outside\.libsonnet": it lies outside .*sweeps'):
        plan(folder, "{base: import '../outside.libsonnet'}", "s.jsonnet")


def test_the_files_of_the_docs_are_understood(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
    assert len(plan(tmp_path, page.split("```yaml\n")[1].split("```")[0]).experiments) == 6
    pytest.importorskip("_jsonnet")
    text = next(block for block in page.split("```") if block.lstrip().startswith("local "))
    assert len(plan(tmp_path, text, "s.jsonnet").experiments) == 3


def test_without_the_jsonnet_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "_jsonnet", None)
    with pytest.raises(MissingBackendError, match=r"s\.jsonnet: _jsonnet cannot .*-m pip install 'jsonnet>=0\.20'$"):
        plan(tmp_path, "{}", "s.jsonnet")


def test_equal_experiments_run_once(tmp_path: Path) -> None:
    found = plan(tmp_path, "grid: {optim.lr: [1e-3, 2e-3]}\nlist: [{optim.lr: '0.001'}, {limit: 5, optim.lr: 1e-3}]")
    assert len(found.experiments) == 3
    (note,) = found.notes
    assert note == f"experiment 3 has the same settings as {found.experiments[0].run} and is not run again"


def test_recipe_files_and_odd_values_reach_train(tmp_path: Path) -> None:
    text = """
base: {dataset_name: mine, kind: nested, data_root: "a folder: b", seed: 3, labels: {B x: "a # b"}, backbone: null}
grid: {recipe: [recipes/demo/t5.yaml, null], data.max_pieces: [null, 80]}
"""
    with pytest.raises(ConfigError, match=r"backbone: 'null' cannot be used. Expected text"):
        plan(tmp_path, text)
    found = plan(tmp_path, text.replace(", backbone: null", ""))
    assert found.columns == ("recipe", "data.max_pieces")
    for experiment in found.experiments:
        recipe = experiment.recipe
        assert (recipe.dataset, recipe.kind.value, recipe.data.root, recipe.seeds, recipe.labels) == (
            "mine", "nested", "a folder: b", [3], {"B x": "a # b"},
        )  # fmt: skip
    assert [e.recipe.backbone for e in found.experiments] == ["scratch-t5:tiny"] * 2 + ["facebook/bart-large"] * 2


# What is wrong with a file


def test_all_problems_are_told_together(tmp_path: Path) -> None:
    text = """
bases: {}
base: {run_name: x, optim.lr: 1, optim: {lr: 2}, "-x": 3}
grid: {pointer.unit: word, pointer.dropout: [], seeds: [1, 2]}
list: [3, {data: {limit: 2}, limit: 3}]
name: a b
"""
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path, text)
    path = tmp_path / "s.yaml"
    assert str(caught.value).splitlines() == [
        f"{path}: unknown key 'bases'. Expected one of name, base, grid, list (did you mean 'base'?). "
        "Settings of all experiments belong under 'base'.",
        f"{path}: base: run_name cannot be set. Expected no such key: the name is derived from the settings. "
        "Remove it.",
        f"{path}: base: optim.lr is set twice. Expected one value. Remove 'optim.lr'.",
        f"{path}: base: '-x' is not a key. Expected a dotted key, such as optim.lr. Correct it there.",
        f"{path}: grid: pointer.unit: 'word' is not a list of values. Expected a list, such as [1, 2]. "
        "Correct it there.",
        f"{path}: grid: pointer.dropout: [] is not a list of values. Expected a list, such as [1, 2]. "
        "Correct it there.",
        f"{path}: grid: seeds cannot be an axis, because the seeds of an experiment run in one command. "
        "Expected them in 'base'. Correct it there.",
        f"{path}: list entry 1: holds str. Expected a mapping of settings. Correct it there.",
        f"{path}: list entry 2: data.limit is set twice. Expected one value. Remove 'limit'.",
        f"{path}: name: 'a b' cannot name a folder everywhere. Expected at most 91 bytes of letters, digits, '_', '-' "
        "and '.', the first a letter, digit or '_', the last no '.', and no device of Windows such as CON. Set name.",
    ]


def test_every_experiment_is_checked_before_any_runs(tmp_path: Path) -> None:
    text = """
base: {optim.learning_rate: 1, pointer.dropout: 2}
grid: {pointer.unit: [word, piece], kind: [flat, round]}
list: [{dataset_name: dmeo}, {data.dev_every: 3}]
"""
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path, text)
    lines = str(caught.value).splitlines()
    path = tmp_path / "s.yaml"
    assert lines[0].startswith(f"{path}: base: unknown key 'optim.learning_rate'. Expected one of lr,")
    assert any(line.startswith(f"{path}: grid: pointer.unit: 'piece' cannot be used") for line in lines)
    assert f"{path}: grid: kind: 'round' cannot be used. Expected flat, nested, discontinuous. Change it." in lines
    assert any(
        line.startswith(f"{path}: list entry 1: dataset_name: dmeo: no such recipe (did you mean") for line in lines
    )
    assert len(lines) == len(set(lines)) == 4, "each problem once"
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path, "base: {pointer.dropout: 2}\nlist: [{limit: -1}, {data.dev_every: 3}]")
    starts = ["list entry 1: data.limit is -1.", "base: pointer.dropout is 2.0.", "list entry 2: data.dev_every and"]
    for line, start in zip(str(caught.value).splitlines(), starts, strict=True):
        assert line.startswith(f"{path}: {start}")


def test_experiments_that_would_share_a_folder_are_refused(tmp_path: Path) -> None:
    text = "list: [{seeds: 1}, {seeds: 2, batching.eval_size: 8}]"
    with pytest.raises(ConfigError, match=r"experiments 1 and 2 differ only in .*seeds.*. Expected a setting"):
        plan(tmp_path, text)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.toml", "", r"s.toml: not a sweep file. Expected a file name that ends in .yaml"),
        ("s.yaml", "a: [1", r"s.yaml: line 1: expected ',' or '\]'"),
        ("s.yaml", "base: {limit: 1}\nbase: {}", r"s.yaml: line 1: found duplicate key base"),
        ("s.yaml", "[1, 2]", r"s.yaml: holds list. Expected name, base, grid, list"),
        ("s.yaml", "base: {limit: 1}", r"s.yaml: grid: no experiment. Expected values in 'grid' or entries in 'list'"),
        ("s.json", '{"grid": ', r"s.json: Expecting value: line 1"),
        ("s.json", '{"grid": {"a": [1], "a": [2]}}', r"s.json: duplicate key a"),
        ("s.jsonnet", "{base: 1", r"s.jsonnet: STATIC ERROR: .*s.jsonnet:1:9"),
        ("s.jsonnet", "{base: 1, base: 2}", r"s.jsonnet: STATIC ERROR: .*duplicate field: base"),
        ("s.jsonnet", "local f(x) = f(x + 1); f(1)", r"s.jsonnet: RUNTIME ERROR: max stack frames"),
        ("s.jsonnet", "import 'gone.libsonnet'", r"s.jsonnet: RUNTIME ERROR: .*gone.libsonnet"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, text: str, message: str) -> None:
    if name.endswith("jsonnet"):
        pytest.importorskip("_jsonnet")
    with pytest.raises(ConfigError, match=message):
        plan(tmp_path, text, name)


# The command


def test_a_dry_run_prints_the_commands_and_leaves_nothing(workplace: Path, capsys) -> None:
    path = write(workplace, GRID)
    assert sweep.main([str(path), "--dry_run", "--runs_dir", "out"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    program, command, *arguments = shlex.split(lines[1])
    options = train.parse(arguments)
    assert (program, command, options.runs_dir) == ("genner", "train", Path("out"))
    assert options.run_name.startswith("units-") and train.recipe_of(options).settings.unit.value == "span"
    assert os.listdir(workplace) == ["s.yaml"]


def test_usage_errors_are_one_message(workplace: Path, capsys) -> None:
    assert sweep.main(["gone.yaml"]) == 2
    assert (
        capsys.readouterr().err
        == "error: gone.yaml: cannot be read: No such file or directory. Expected a sweep file. Name another.\n"
    )
    assert sweep.main([str(write(workplace, "grid: {optim.lrr: [1]}"))]) == 2
    assert "grid: unknown key 'optim.lrr'" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        sweep.main(["s.yaml", "--parallel", "0"])


# The table


def seed_result(seed: int, dev: float, test: float, status: str = "ok") -> dict:
    scores = {"pre": 50.0, "rec": 50.0, "strict_f": 1.0}
    return {
        "seed": seed, "status": status, "train_seconds": 30.0, **({"reason": "killed"} if status == "failed" else {}),
        "dev": {"f": dev, **scores}, "test": {"f": test, **scores},
    }  # fmt: skip


def finish(folder: Path, *seeds: dict) -> None:
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"seeds": seeds}))


def test_the_table_shows_what_is_there_best_by_dev(tmp_path: Path) -> None:
    found = plan(tmp_path, GRID)
    first, second, third, fourth, fifth, sixth = found.experiments
    finish(first.folder, seed_result(1, 40.0, 30.0), seed_result(2, 42.0, 33.0), seed_result(9, 99.0, 99.0))
    finish(second.folder, seed_result(1, 60.0, 20.0), seed_result(2, 44.0, 1.0, "collapsed"))
    finish(third.folder, seed_result(1, 1.0, 1.0, "collapsed"), seed_result(2, 1.0, 1.0, "collapsed"))
    finish(fourth.folder, seed_result(1, 50.0, 50.0), seed_result(2, 0.0, 0.0, "failed"))
    finish(fifth.folder, seed_result(1, 45.0, 45.0))
    assert [is_finished(one) for one in found.experiments] == [True, True, True, False, False, False]
    rows = sweep_rows(found, {sixth.run: "exit code 2: error: no such folder | x"})
    assert [row["run"] for row in rows] == [one.run for one in (second, fourth, fifth, first, third, sixth)]
    assert [row["status"] for row in rows] == ["ok", "failed", "waiting", "ok", "collapsed", "failed"]
    mean = rows[3]["scores"]["test"]["f"]
    assert (mean["mean"], mean["n"], rows[3]["n_ok"]) == (31.5, 2, 2), "seed 9 is none of this sweep"

    write_sweep(found, rows, tmp_path / "table")
    content = json.loads((tmp_path / "table" / "sweep.json").read_text())
    assert content["best"] == {"demo": second.run} and content["n_failed"] == 2 and content["n_waiting"] == 1
    text = (tmp_path / "table" / "sweep.md").read_text()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert cells[0][:6] == [r"optim.lr", "pointer.unit", r"pointer.encoder_mlp", r"pointer.num_beams", "status", "run"]
    assert cells[2][:6] == ["0.001", "span", "true", "1", "ok", second.run]
    assert cells[5][6:9] == ["2 of 2", "41.00 ± 1.41", "31.50 ± 2.12"]
    assert cells[2][6:9] == ["1 of 2 (1 collapsed)", "60.00 (1 seed)", "20.00 (1 seed)"]
    assert cells[7][6:] == ["0 of 2", *["-"] * 7]
    assert f"* {sixth.run}: exit code 2: error: no such folder \\| x" in text
    assert f"* {fourth.run}: seed 2: killed" in text
    assert "6 experiments: 2 ok, 1 collapsed, 2 failed, 1 waiting." in text

    (first.folder / "result.json").write_text("{")
    with pytest.raises(DataFormatError, match=r"result\.json"):
        sweep_rows(found, {})


def test_datasets_are_ranked_apart(tmp_path: Path) -> None:
    found = plan(tmp_path, "grid: {pointer.dropout: [0.1, 0.2], dataset_name: [demo, conll2003]}")
    for experiment, dev in zip(found.experiments, (10.0, 80.0, 20.0, 70.0), strict=True):
        finish(experiment.folder, seed_result(experiment.recipe.seeds[0], dev, dev))
    rows = sweep_rows(found, {})
    assert [(row["dataset"], row["settings"]["pointer.dropout"]) for row in rows] == [
        ("demo", 0.2), ("demo", 0.1), ("conll2003", 0.1), ("conll2003", 0.2),
    ]  # fmt: skip


def test_one_survivor_does_not_beat_five_good_seeds(tmp_path: Path) -> None:
    text = "base: {seeds: [1, 2, 3, 4, 5]}\nlist: [{pointer.dropout: 0.1}, {pointer.dropout: 0.2}]"
    found = plan(tmp_path, text)
    lucky, solid = found.experiments
    never_scored = seed_result(5, 0.0, 0.0, "collapsed") | {"dev": {}, "test": {}}
    collapsed = [seed_result(seed, 1.0, 1.0, "collapsed") for seed in (2, 3, 4)]
    finish(lucky.folder, seed_result(1, 81.0, 81.0), *collapsed, never_scored)
    finish(solid.folder, *(seed_result(seed, 80.0, 79.0) for seed in (1, 2, 3, 4, 5)))
    rows = sweep_rows(found, {})
    assert [row["run"] for row in rows] == [solid.run, lucky.run]
    assert rows[1]["scores"]["dev"]["f"]["mean"] == 81.0  # over the seeds that are ok, as everywhere
    assert rows[1]["scores_with_collapsed"]["dev"]["f"]["mean"] == 16.8  # (81 + 3 + 0) / 5
    write_sweep(found, rows, tmp_path / "table")
    assert json.loads((tmp_path / "table" / "sweep.json").read_text())["best"] == {"demo": solid.run}
    table = (tmp_path / "table" / "sweep.md").read_text()
    assert "dev F1 with collapsed" in table and "16.80" in table and "collapsed seeds counted" in table


def test_collapsed_seeds_that_may_begin_anew_are_not_finished(tmp_path: Path) -> None:
    text = "base: {on_collapse: stop, seeds: 1}\nlist: [{pointer.dropout: 0.2}]"
    (experiment,) = plan(tmp_path, text).experiments
    finish(experiment.folder, seed_result(1, 1.0, 1.0, "collapsed"))
    assert is_finished(experiment)
    (again,) = plan(tmp_path, text.replace("stop", "restart")).experiments
    assert again.run == experiment.run and not is_finished(again)


# Processes


def test_processes_are_listened_to_one_at_a_time_and_several(tmp_path: Path, capfd) -> None:
    program = (
        "import sys; print('out', flush=True); print('epoch 1/1  loss 1\\nlast words', file=sys.stderr); sys.exit({})"
    )
    commands = {name: [sys.executable, "-c", program.format(code)] for name, code in {"a": 0, "b": 2, "c": 0}.items()}
    for n_parallel in (1, 2):
        outputs = {name: tmp_path / str(n_parallel) / f"{name}.txt" for name in commands}
        ended = dict(run_all(commands, n_parallel, what="experiment", outputs=outputs))
        assert {name: outcome.code for name, outcome in ended.items()} == {"a": 0, "b": 2, "c": 0}
        assert ended["b"].reason == "exit code 2: last words"
        assert all(path.read_text() == "out\nepoch 1/1  loss 1\nlast words\n" for path in outputs.values())
        out, err = capfd.readouterr()
        assert out == "" and sorted(err.splitlines()) == [f"experiment {name}: epoch 1/1  loss 1" for name in "abc"]


# From end to end

TINY = """
name: tiny
base: {{dataset_name: mine, kind: flat, data_root: {corpus}, backbone: "scratch:tiny", batching.size: 8,
  training: {{epochs: 8}}}}
grid: {{optim.lr: [1e-3, 1e-4]}}
list: [{{data_root: gone}}]
"""


def start(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, "sweep", path], cwd=path.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True, start_new_session=True,
    )  # fmt: skip


@pytest.mark.slow
def test_a_stopped_sweep_shows_what_it_has_and_continues(workplace: Path, capfd) -> None:
    corpus = write_corpus(workplace / "mine", FLAT)
    path = write(workplace, TINY.format(corpus=corpus))
    first, second, broken = plan(workplace, path.read_text()).experiments
    table = workplace / "runs" / "sweeps" / "tiny" / "sweep.json"
    process = start(path)
    while not (second.folder / "seed-1" / "last" / "state.pt").exists():  # the second one is under way
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)  # it and its experiment, as Ctrl-C in a terminal would
    _, err = process.communicate(timeout=100)
    assert process.returncode == 130 and "Traceback" not in err, err
    content = json.loads(table.read_text())
    assert [row["status"] for row in content["experiments"]] == ["ok", "waiting", "waiting"]
    assert content["best"] == {"mine": first.run}
    before = (first.folder / "result.json").stat().st_mtime_ns

    assert sweep.main([str(path)]) == 1
    out, err = capfd.readouterr()
    assert f"experiment {first.run} is finished" in err and f"experiment {second.run}: resuming after epoch" in err
    assert (first.folder / "result.json").stat().st_mtime_ns == before
    content = json.loads(table.read_text())
    assert (content["n_ok"], content["n_failed"], content["n_waiting"]) == (2, 1, 0)
    (row,) = [row for row in content["experiments"] if row["run"] == broken.run]
    assert row["reason"].startswith("exit code 2: error: ") and "gone" in row["reason"]
    assert f"* {broken.run}: exit code 2" in out.replace("\\", "")
    for experiment in (first, second):
        seed = json.loads((experiment.folder / "result.json").read_text())["seeds"][0]
        (row,) = [row for row in content["experiments"] if row["run"] == experiment.run]
        assert row["scores"]["test"]["f"]["mean"] == seed["test"]["f"]
        assert "run folder:" in (table.parent / "output" / f"{experiment.run}.txt").read_text()
