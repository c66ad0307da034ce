"""The command line from end to end: runs, their folders, resuming, hand-made bundles."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from genner.app.job import default_name
from genner.app.seed import train_bundle
from genner.commands import train
from genner.config import load_recipe
from genner.data.bundle import examples_of, to_bundle
from genner.data.loaders import LOADERS, LoaderOptions
from genner.errors import DataFormatError, NerError
from genner.evaluation.thresholds import LeastScores
from genner.formulations.opening import open_task
from genner.model.folder import ModelFolder
from genner.prediction.scores import ModelCalibration

# isort: split
from fastNLP import DataSet
from fastNLP.io import DataBundle

ROOT = Path(__file__).parents[1]
SMALL = ["--backbone", "scratch:tiny", "training.evaluate_from=1", "batching.size=8"]

FLAT = {
    "train": "Odette B-PER\nsailed O\nto O\nQuillport B-LOC\n. O\n\nBram B-PER\nslept O\n. O\n",
    "dev": "Odette B-PER\nslept O\n. O\n",
    "test": "Bram B-PER\nsailed O\nto O\nQuillport B-LOC\n. O\n",
}
NESTED = '{"sentences": [["the", "Quillport", "Harbour", "Board", "met"]], "ners": [[[1, 3, "ORG"], [1, 1, "LOC"]]]}\n'
THREE_LINES = "stiff knees and stubborn elbows\n0,1 ADR|0,0,4,4 ADR\n\n"


def write_corpus(folder: Path, texts: dict[str, str], ending: str = "txt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, text in texts.items():
        (folder / f"{split}.{ending}").write_text(text, encoding="utf-8")
    return folder


def run(*arguments: str | Path, runs: Path | None = None) -> int:
    extra = ["--runs_dir", str(runs)] if runs else []
    return train.main([*map(str, arguments), *extra])


@pytest.mark.slow
def test_demo_run_leaves_everything_behind(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--limit",
        "48",
        "--run_name",
        "short",
        "training.epochs=2",
        "training.evaluate_from=1",
        "batching.size=8",
    ]
    assert run(*arguments, "--seeds", "3") == 0
    shown, messages = capsys.readouterr()
    assert "all entities" in shown
    assert "unseen" in shown
    assert "run folder: runs/demo/short" in shown
    folder = workplace / "runs" / "demo" / "short"
    for log in (messages, (folder / "seed-3" / "train.log").read_text(encoding="utf-8")):
        assert log.count("oracle F1") == 3, "every split is described before it is trained on"
    result = json.loads((folder / "result.json").read_text())
    assert set(result) == {
        "dataset", "formulation", "target", "backbone", "seeds", "mean", "std", "min", "max", "ci95",
        "mean_plain", "std_plain", "mean_with_collapsed", "n_ok", "n_collapsed", "n_failed", "reported", "fingerprint",
        "command", "versions",
    }  # fmt: skip
    (seed,) = result["seeds"]
    assert {
        "seed",
        "status",
        "best_epoch",
        "epochs",
        "steps",
        "steps_per_second",
        "train_seconds",
        "peak_memory_mb",
    } < set(seed)
    assert (seed["seed"], seed["status"], seed["epochs"], seed["steps"]) == (3, "ok", 2, 12)
    for split in ("dev", "test"):
        assert {"f", "pre", "rec", "em", "strict_f", "per_label", "subsets"} <= set(seed[split])
        assert {"flat", "nested", "discontinuous", "overlapping", "unseen"} == set(seed[split]["subsets"])
    assert result["mean"]["test_f"] == seed["test"]["f"] == seed["searches"]["default"]["f"]
    assert result["mean_plain"]["test_f"] == seed["plain"]["test"]["f"] == seed["searches"]["plain"]["f"]
    assert "Ways of searching, test" in shown and "give_up" in messages
    assert (folder / "best").resolve() == (folder / "seed-3" / "best").resolve()
    written = ("run.json", "recipe.yaml", "report.md", "seed-3/recipe.yaml", "seed-3/train.log", "seed-3/result.json")
    for name in (*written, "seed-3/best/calibration.json"):
        assert (folder / name).stat().st_size > 0, name
    assert not (folder / "seed-3" / "last").exists(), "a finished seed keeps no state"
    assert ModelFolder.read(folder / "best").labels.tags == ("BODY", "LOC", "ORG", "PER", "SYMPTOM")
    lines = (folder / "seed-3" / "predictions.test.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 48
    for row in map(json.loads, lines):
        assert set(row) - {"left_out"} == {"raw_words", "gold", "pred"}
        for found in row["pred"] + row.get("left_out", []):
            assert set(found) == {"type", "spans", "text", "score"}
            assert 0 <= found["score"] <= 1
    assert any((workplace / "logs").iterdir()), "no fitlog record"

    assert result["fingerprint"] == json.loads((folder / "run.json").read_text())["data"]
    before = (folder / "seed-3" / "result.json").stat().st_mtime_ns
    assert run(*arguments, "--seeds", "3") == 0
    assert (folder / "seed-3" / "result.json").stat().st_mtime_ns == before, "a finished seed was trained again"
    assert run(*arguments, "--seeds", "3", "optim.lr=0.5") == 2
    assert "holds another run: optim.lr" in capsys.readouterr().err


@pytest.mark.slow
def test_seeds_run_in_processes_of_their_own_and_are_averaged(workplace: Path) -> None:
    corpus = write_corpus(workplace / "mine", FLAT)
    command = [
        sys.executable, ROOT / "train.py", "--dataset_name", "mine", "--kind", "flat", "--data_root", corpus,
        "--seeds", "1", "2",
        "--run_name", "two", "training.epochs=1", *SMALL,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=workplace, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "mean ± standard deviation over 2 seeds" in done.stdout
    result = json.loads((workplace / "runs" / "mine" / "two" / "result.json").read_text())
    values = [seed["test"]["f"] for seed in result["seeds"]]
    assert result["mean"]["test_f"] == pytest.approx(sum(values) / 2)
    assert result["n_ok"] + result["n_collapsed"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["word", "span", "bpe", "span_bpe"])
@pytest.mark.parametrize("backbone", ["scratch:tiny", "scratch-t5:tiny"])
def test_every_target_type_trains_on_both_backbones(workplace: Path, unit: str, backbone: str) -> None:
    splits = dict.fromkeys(("train", "dev", "test"), THREE_LINES * 2 + "all well\n\n\n")
    corpus = write_corpus(workplace / "d", splits)
    arguments = ["--dataset_name", "d", "--kind", "discontinuous", "--data_root", corpus, "--backbone", backbone]
    assert run(*arguments, f"pointer.unit={unit}", "training.epochs=1", "pointer.num_beams=2", "--run_name", "r") == 0
    assert (workplace / "runs" / "d" / "r" / "best" / "model.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [
        "pointer.order=shuffled",
        "pointer.label_words=tags",
        "pointer.decoder_type=none",
        "pointer.decoder_type=avg_score",
        "pointer.encoder_mlp=false",
        "pointer.num_beams=4",
        "pointer.constrained=false",
        "pointer.give_up=0.3",
        "training.fit_on_dev=false",
    ],
)
def test_every_ablation_of_the_paper_is_one_key(workplace: Path, setting: str) -> None:
    corpus = write_corpus(workplace / "d", dict.fromkeys(("train", "dev", "test"), THREE_LINES * 4))
    arguments = ["--dataset_name", "d", "--kind", "discontinuous", "--data_root", corpus, "--run_name", "r", *SMALL]
    recipe = workplace / "recipe.yaml"
    recipe.write_text("{dataset: d, kind: discontinuous, labels: {ADR: adverse reaction}, training: {epochs: 1}}\n")
    assert run("--recipe", recipe, *arguments, setting) == 0
    result = json.loads((workplace / "runs" / "d" / "r" / "result.json").read_text())
    assert result["seeds"][0]["test"]["support"] == 8
    task = open_task(ModelFolder.read(workplace / "runs" / "d" / "r" / "best"), "cpu", {})
    assert task.labels.words == (("adr",) if "tags" in setting else ("adverse reaction",))
    (seed,) = result["seeds"]
    is_held, decides = "constrained=false" not in setting, "fit_on_dev" not in setting
    others = {"unconstrained"} if is_held else {"constrained"}
    assert set(seed["searches"]) == {"default", *(["plain"] if decides else []), *others}
    for name, way in seed["searches"].items():
        assert set(way) == {"f", "pre", "rec", "strict_f", "em", "predicted", "rejected", "counts"}
        if is_held == (name != "unconstrained"):
            assert way["rejected"] == {}, "it is dropped and counted"
    assert bool(seed["plain"]) == bool(result["mean_plain"]) == decides
    assert set(task.undecided()) <= ({"give_up", "eos_penalty"} if is_held else set())
    assert "give_up" not in task.undecided() or "give_up" not in setting
    if not (is_held and decides):
        assert seed["choices"] == {}
    assert task.search.give_up == (0.3 if "give_up" in setting else None), "choices are not in the model's own settings"
    stored = ModelCalibration.read(workplace / "runs" / "d" / "r" / "best")
    assert stored.choices == seed["choices"]
    assert decides or all(fitted.least == LeastScores() for fitted in stored.scores)


@pytest.mark.slow
def test_compat_mode_runs_from_the_command_line(workplace: Path) -> None:
    corpus = write_corpus(workplace / "n", dict.fromkeys(("train", "dev", "test"), NESTED), "jsonlines")
    arguments = [
        "--dataset_name",
        "n",
        "--kind",
        "nested",
        "--data_root",
        corpus,
        "compat=reference",
        "--run_name",
        "c",
    ]
    assert run(*arguments, "training.epochs=1", *SMALL) == 0
    result = json.loads((workplace / "runs" / "n" / "c" / "result.json").read_text())
    (seed,) = result["seeds"]
    assert set(seed["test"]["per_label"]) >= {"org", "loc"}
    assert (seed["plain"], seed["choices"], result["mean_plain"]) == ({}, {}, {})
    assert set(seed["searches"]) == {"default", "constrained"}
    assert all(seed["test"][key] == seed["searches"]["default"][key] for key in ("f", "predicted", "rejected"))
    stored = ModelCalibration.read(workplace / "runs" / "n" / "c" / "best")
    assert stored.choices == {} and all(fitted.least == LeastScores() for fitted in stored.scores)
    for split in ("dev", "test"):
        assert "left_out" not in (workplace / "runs/n/c/seed-1" / f"predictions.{split}.jsonl").read_text("utf-8")


COLUMNS = "\n".join(
    f"{word} NNP I-NP {tag}" for word, tag in [("Odette", "I-PER"), ("in", "O"), ("Quillport", "I-LOC")]
)
BRACKETS = "\n".join(
    f"nw/1 0 {i} {word} NNP * - - - - {name} -"
    for i, (word, name) in enumerate([("Odette", "(PERSON)"), ("sailed", "*")])
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "text", "ending", "splits"),
    [
        ("conll2003", COLUMNS + "\n\n", "txt", {"train", "test"}),
        ("en-ontonotes", BRACKETS + "\n\n", "conll", {"train", "dev", "test"}),
        ("en_ace04", NESTED, "jsonlines", {"train", "dev", "test"}),
        ("en_ace05", NESTED, "jsonlines", {"train", "dev", "test"}),
        ("genia", NESTED, "jsonlines", {"train", "dev", "test"}),
        ("CADEC", THREE_LINES, "txt", {"train", "dev", "test"}),
        ("Share_2013", THREE_LINES, "txt", {"train", "dev", "test"}),
        ("Share_2014", THREE_LINES, "txt", {"train", "dev", "test"}),
    ],
)
def test_every_published_recipe_trains(workplace: Path, dataset: str, text: str, ending: str, splits: set[str]) -> None:
    """Each recipe with its own split rules, batches and search, on a tiny backbone."""
    folder = write_corpus(workplace / dataset, dict.fromkeys(("train", "dev", "test"), text * 9), ending)
    if dataset == "genia":  # its dev split is taken from train
        (folder / "dev.jsonlines").unlink()
    arguments = ["--dataset_name", dataset, "--data_root", workplace, "--backbone", "scratch:tiny", "--run_name", "r"]
    assert run(*arguments, "training.epochs=1") == 0
    result = json.loads((workplace / "runs" / dataset / "r" / "result.json").read_text())
    assert set(result["fingerprint"]) == splits
    assert result["reported"]["word"]
    assert result["fingerprint"]["train"]["sentences"] == {"conll2003": 18, "genia": 6}.get(dataset, 9)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_out_of_memory_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(train, "run", fail)
    assert run() == 1
    assert "Lower batching.size" in capsys.readouterr().err


def test_debug_shows_the_traceback(workplace: Path) -> None:
    with pytest.raises(NerError):
        run("--dataset_name", "conll2003", "--debug")


def test_usage_errors_leave_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("--kind", "round")
    assert caught.value.code == 2
    assert "invalid choice: 'round'" in capsys.readouterr().err


def test_run_names_differ_by_recipe_but_not_by_seed() -> None:
    def name(*arguments: str) -> str:
        return default_name(train.recipe_of(train.parse(arguments)))

    assert name() == name("--seeds", "4", "5") == name("seed=7")
    assert name("--seeds", "4", "5", "optim.lr=0.1") == name("optim.lr=0.1", "--seeds", "3")
    assert name() != name("optim.lr=0.1")


@pytest.mark.slow
def test_the_pages_python_snippets_run(workplace: Path) -> None:
    """A DataBundle made by hand is trained on, exactly as docs/own_data.md shows it."""
    page = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
    snippets = [block.split("```")[0] for block in page.split("```python\n")[1:]]
    assert len(snippets) == 2
    names: dict = {}
    for snippet in snippets:
        exec(snippet, names)
    assert names["result"]["epochs"] == 2
    assert (workplace / "runs" / "mine" / "by-hand" / "seed-1" / "best" / "model.safetensors").exists()


def test_a_wrong_bundle_is_refused(workplace: Path) -> None:
    fields = {"raw_words": [["a"]], "entities": [[["a"]]], "entity_tags": [["X"]], "entity_spans": [[[0, 2]]]}
    bundle = DataBundle(datasets={"train": DataSet(fields)})
    with pytest.raises(DataFormatError, match=r"train, row 0, field entity_spans: \[0, 2\]"):
        train_bundle(bundle, load_recipe(None, ["backbone=scratch:tiny"]), workplace / "r")


def test_loaders_and_bundles_agree(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text(THREE_LINES, encoding="utf-8")
    examples, _ = LOADERS["discontinuous"](path, LoaderOptions())
    assert examples_of(to_bundle({"train": examples}).get_dataset("train")) == examples
