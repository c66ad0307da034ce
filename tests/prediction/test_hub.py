"""Models of the hub: fetched once, data only, and clear words where that fails. The client is the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from genner.errors import DataFormatError, MissingBackendError
from genner.prediction.hub import MODEL_FILES, is_hub_id, resolve_model
from tests.prediction.fake_hub import FakeHub, Repository

ROOT = Path(__file__).parents[2]
RESOLVE = """
import sys
from genner.errors import NerError
from genner.prediction.hub import resolve_model
try:
    print(resolve_model(sys.argv[1]))
except NerError as error:
    print(type(error).__name__, error)
"""
SMALL = {name: b"{}" for name in ("recipe.yaml", "config.json", "tokenizer.json")}
SMALL["model.json"] = b'{"formulation": "pointer"}'
UNWANTED = {
    "pytorch_model.bin": b"pickle",
    "modeling.py": b"raise SystemExit",
    "old/model.safetensors": b"other",
    "README.md": b"card",
}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        yield running


def run_client(code: str, *arguments: str, hub: str, home: Path, **environment: str) -> str:
    """What a new Python process prints that asks the hub; ours was told not to before its client was imported."""
    settings = {"HF_ENDPOINT": hub, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    for name in ("HF_TOKEN", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"):
        settings[name] = ""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, **settings, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_folder_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_model(tmp_path) == resolve_model(str(tmp_path)) == tmp_path
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ada" / "symptoms").mkdir(parents=True)
    assert resolve_model("ada/symptoms") == Path("ada/symptoms"), "a folder comes before the hub"


def test_a_model_is_fetched_once_without_what_it_does_not_need(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["ada/symptoms"] = Repository()
    first = hub.repositories["ada/symptoms"].commit({**SMALL, **UNWANTED, "model.safetensors": b"weights"})
    folder = Path(run_client(RESOLVE, "ada/symptoms", hub=hub.address, home=tmp_path))
    assert {path.name for path in folder.iterdir()} == {*SMALL, "model.safetensors"}
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert not any(hub.fetched(name) for name in ("pytorch_model.bin", "modeling.py", "README.md"))

    hub.repositories["ada/symptoms"].commit({"model.safetensors": b"newer"})
    old = run_client(RESOLVE, f"ada/symptoms@{first}", hub=hub.address, home=tmp_path)
    assert Path(old) == folder
    newer = run_client(RESOLVE, "ada/symptoms", hub=hub.address, home=tmp_path)
    assert Path(newer, "model.safetensors").read_bytes() == b"newer"

    hub.requests.clear()
    assert run_client(RESOLVE, "ada/symptoms", hub=hub.address, home=tmp_path, HF_HUB_OFFLINE="1") == newer
    assert hub.requests == []


@pytest.mark.parametrize("others", [{}, {"model.json": b"[1]"}, {"model.json": b'{"name": "bart"}'}])
def test_another_project_s_model_is_refused_before_its_weights_are_fetched(
    hub: FakeHub, tmp_path: Path, others: dict[str, bytes]
) -> None:
    hub.repositories["big/bart"] = Repository()
    hub.repositories["big/bart"].commit({"config.json": b"{}", "model.safetensors": b"weights", **others})
    said = run_client(RESOLVE, "big/bart", hub=hub.address, home=tmp_path)
    assert said.startswith("DataFormatError big/bart: no such folder, and the model of that name on the hub is not one")
    assert "no model.json of ours" in said
    assert not hub.fetched("model.safetensors")


@pytest.mark.parametrize(
    ("name", "environment", "reason"),
    [
        ("ada/nothing", {}, "it has no model of that name, or not for this user"),
        ("ada/symptoms@v9", {}, "it has no such revision of the model"),
        ("ada/symptoms", {"HF_HUB_OFFLINE": "1"}, "not in the cache, and the hub cannot be reached"),
        ("ada/symptoms", {"HF_ENDPOINT": "http://127.0.0.1:9"}, "not in the cache, and the hub cannot be"),
    ],
)
def test_what_the_hub_said_is_told(
    hub: FakeHub, tmp_path: Path, name: str, environment: dict[str, str], reason: str
) -> None:
    hub.repositories["ada/symptoms"] = Repository()
    hub.repositories["ada/symptoms"].commit({**SMALL, "model.safetensors": b"weights"})
    said = run_client(RESOLVE, name, **{"hub": hub.address, "home": tmp_path, **environment})
    assert said.startswith(
        f"MissingBackendError {name}: no such folder on this machine, and no download from the hub"
    )
    assert f"({reason}" in said and "Check the name" in said


@pytest.mark.parametrize(
    "name", ["best", "runs/demo/best", "./ada/symptoms", "~/nowhere", "/no/where", "ada/sym ptoms"]
)
def test_names_that_can_only_be_folders(name: str) -> None:
    with pytest.raises(DataFormatError, match=r"no such model folder\. Expected the folder 'best'.*, or"):
        resolve_model(name)


def test_a_misspelt_folder_is_not_looked_for_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(DataFormatError, match=r"runs/demo: no such model folder\..*hub:runs/demo for one on the hub"):
        resolve_model("runs/demo")
    with pytest.raises(MissingBackendError, match=r"hub:runs/demo: no such folder on this machine, and no download"):
        resolve_model("hub:runs/demo")  # tests are offline


def test_a_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(DataFormatError, match=r"a file, not a model folder\..*Name the folder of a model\."):
        resolve_model(tmp_path / "model.safetensors")
    (tmp_path / "model.json").touch()
    with pytest.raises(DataFormatError, match=rf"Name its folder: {tmp_path}\."):
        resolve_model(tmp_path / "model.safetensors")
    with pytest.raises(DataFormatError, match="the model has no name"):
        resolve_model(" ")


def test_a_folder_that_holds_several_models(tmp_path: Path) -> None:
    for name in ("first/seed-1/best", "first/seed-2/best", "second/best"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.json").touch()
    assert resolve_model(tmp_path / "second") == tmp_path / "second" / "best"
    with pytest.raises(DataFormatError, match=r"but 3 below it are: .*Name it, such as .*first/seed-1/best\.") as told:
        resolve_model(tmp_path)
    assert resolve_model(str(told.value).rsplit(" ", 1)[1].rstrip("."))
    with pytest.raises(DataFormatError, match="but 2 below it are"):
        resolve_model(tmp_path / "first")
    with pytest.raises(DataFormatError, match=r"no such model folder \(did you mean '.*/second'\?\)"):
        resolve_model(tmp_path / "secnd")


@pytest.mark.parametrize("name", ["ada/symptoms", "a-b/c.d_e", "0/1"])
def test_hub_ids(name: str) -> None:
    assert is_hub_id(name)


@pytest.mark.parametrize(
    "name", ["", "ada", "a/b/c", "../b", "a/..", "a/.b", "a b/c", "a/b@c", "é/b", "a/b--c", "a/b/"]
)
def test_no_hub_ids(name: str) -> None:
    assert not is_hub_id(name)


def test_model_files_are_data() -> None:
    assert {Path(name).suffix for name in MODEL_FILES} <= {".json", ".safetensors", ".yaml", ".txt", ".model"}


def test_everything_that_training_writes_is_a_model_file(trained_model: Path) -> None:
    assert {path.name for path in trained_model.iterdir()} <= set(MODEL_FILES)
    assert json.loads((trained_model / "model.json").read_text())["format"]
