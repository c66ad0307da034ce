"""The door is open: a formulation that nothing knows is trained, resumed, reported, used, served and shared."""

from __future__ import annotations

import asyncio
import json
import pickle
from pathlib import Path

import httpx
import pytest

import genner.formulations
from genner import load
from genner.cli import main
from genner.config import load_recipe, recipe_yaml
from genner.errors import ConfigError, DataFormatError
from genner.formulations import formulation_class, names, settings_of
from genner.formulations.opening import open_task
from genner.model.folder import ModelFolder
from genner.serving.api import build_api
from genner.serving.service import Service
from genner.training.selection import EpochEnd

TOYS = Path(__file__).parent / "toys"
WORDS = ["my left knee hurts", "the knee is sore", "Ann went to Sandmouth", "Sandmouth is far", "Ann met Otto"]
LABELS = {"knee": "BODY", "Ann": "PER", "Otto": "PER", "Sandmouth": "LOC"}
TEXT = "Ann hurt her knee in Sandmouth."
FOUND = [("PER", "Ann"), ("BODY", "knee"), ("LOC", "Sandmouth")]
SETTINGS = ["--formulation", "gazetteer", "--dataset_name", "mine", "--kind", "flat", "--backbone", "none"]


@pytest.fixture(autouse=True)
def door(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All that is needed: the package lies where formulations are looked for."""
    monkeypatch.setattr(genner.formulations, "__path__", [*genner.formulations.__path__, str(TOYS)])
    monkeypatch.chdir(tmp_path)
    tag = {word: f"B-{label}" for word, label in LABELS.items()}
    lines = ["\n".join(f"{word} {tag.get(word, 'O')}" for word in text.split()) for text in WORDS]
    for split in ("train", "dev", "test"):
        path = tmp_path / "corpus" / f"{split}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n\n".join(lines * 4) + "\n", encoding="utf-8")


def train(name: str, *arguments: str) -> tuple[int, Path]:
    settings = [*SETTINGS, "--data_root", "corpus", "--run_name", name, "optim.lr=0.5", "training.epochs=4"]
    return main(["train", *settings, *arguments]), Path("runs", "mine", name)


def found(results: list[dict]) -> list[tuple[str, str]]:
    return [(one["type"], one["text"]) for one in results]


def test_it_is_small() -> None:
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in TOYS.rglob("*.py")) < 150


def test_it_is_found_by_its_name() -> None:
    assert names() == ["gazetteer", "pointer"]
    assert formulation_class("gazetteer").Open.__name__ == "OpenSettings"
    recipe = load_recipe(None, ["formulation=gazetteer", "gazetteer.buckets=9"])
    assert recipe.settings == settings_of("gazetteer")(buckets=9)
    assert "gazetteer:\n  buckets: 9\n" in recipe_yaml(recipe) and "pointer" not in recipe_yaml(recipe)
    with pytest.raises(ConfigError, match=r"gazetteer.buckets is 0. Expected 1 or more"):
        load_recipe(None, ["formulation=gazetteer", "gazetteer.buckets=0"])
    with pytest.raises(ConfigError, match=r"unknown key 'pointer.unit'"):
        load_recipe(None, ["formulation=gazetteer", "pointer.unit=span"])
    with pytest.raises(ConfigError, match=r"unknown name 'gazeteer' \(did you mean 'gazetteer'\?\)"):
        load_recipe(None, ["formulation=gazeteer"])


def test_it_trains_and_reports(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *SETTINGS, "--data_root", "corpus", "--check_data"]) == 0
    assert "words" in capsys.readouterr().out
    code, run = train("a")
    assert code == 0
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    assert result["formulation"] == "gazetteer"
    assert result["mean"]["test_f"] == 100
    assert main(["report", str(run), "--out", "reports"]) == 0
    assert "gazetteer" in (run / "report.md").read_text(encoding="utf-8")
    assert "| mine" in capsys.readouterr().out


def test_it_resumes_to_the_same_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole = train("whole")
    save = EpochEnd.save

    def stop(end: EpochEnd) -> None:
        save(end)
        if end.state.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(EpochEnd, "save", stop)
    assert train("stopped")[0] == 130
    monkeypatch.setattr(EpochEnd, "save", save)
    code, stopped = train("stopped")
    assert code == 0
    ours, theirs = ((run / "seed-1" / "predictions.test.jsonl").read_bytes() for run in (stopped, whole))
    assert ours == theirs and b'"score"' in ours
    histories = [json.loads((run / "result.json").read_text())["seeds"][0]["history"] for run in (stopped, whole)]
    assert [row["loss"] for row in histories[0]] == [row["loss"] for row in histories[1]]


def test_it_predicts(capsys: pytest.CaptureFixture[str]) -> None:
    _, run = train("a")
    ner = load(run)
    assert [(one.type, one.text) for one in ner(TEXT)] == FOUND
    assert len(load(run, threshold=1.0)(TEXT)) == 0
    with pytest.raises(ConfigError, match=r"unknown option 'treshold' \(did you mean 'threshold'\?\)"):
        load(run, treshold=1.0)
    capsys.readouterr()
    assert main(["predict", str(run), "--text", TEXT, "threshold=0.2"]) == 0
    assert found(json.loads(capsys.readouterr().out)["entities"]) == FOUND
    with pytest.raises(DataFormatError, match=r"runs.*unknown name 'other'.* Update GenNER"):
        about = ModelFolder.read(run / "best")
        open_task(ModelFolder(about.path, "other", about.kind, about.labels), "cpu", {})


def test_it_is_served() -> None:
    _, run = train("a")

    async def ask() -> list[dict]:
        service = Service(lambda: load(run), "mine/a")
        await service.open()
        transport = httpx.ASGITransport(build_api(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.post("/predict", json={"text": TEXT})).json()["results"]

    assert found(asyncio.run(ask())[0]["entities"]) == FOUND


def test_it_is_shared() -> None:
    _, run = train("a")
    assert main(["share", str(run), "--to", "./copy"]) == 0
    assert [(one.type, one.text) for one in load("copy")(TEXT)] == FOUND
    assert "Formulation: gazetteer" in Path("copy", "README.md").read_text(encoding="utf-8")


def test_a_task_that_is_not_trainable_is_only_evaluated_and_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type(formulation_class("gazetteer").open(ModelFolder.read(train("a")[1] / "best"), "cpu"))
    monkeypatch.setattr(kind, "trainable", False)
    monkeypatch.setattr(kind, "loss", None)
    code, run = train("as_it_is")
    assert code == 0
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    (seed,) = result["seeds"]
    assert (seed["status"], seed["epochs"], seed["steps"], seed["history"]) == ("ok", 0, 0, [])
    assert result["mean"]["test_f"] == 0, "a table of zeros finds nothing"
    assert len(load(run)(TEXT)) == 0
    assert (run / "report.md").is_file()


def test_what_makes_batches_brings_no_weights() -> None:
    _, run = train("a")
    task = open_task(ModelFolder.read(run / "best"), "cpu", {})
    assert len(pickle.dumps(task.collate)) < 200
