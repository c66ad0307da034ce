"""Models are handed on as a copy with a card: complete, safe to read, without what is not known or not to be told."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from genner import load
from genner.commands import share
from genner.errors import ConfigError, DataFormatError
from genner.files import write_json
from genner.prediction.hub import MODEL_FILES
from genner.prediction.hub_names import stated_problems
from genner.prediction.recogniser import Recogniser
from genner.prediction.sharing import FoundModel, destination_of, find_model, write_copy
from tests.prediction.fake_hub import TOKEN, FakeHub, Repository
from tests.prediction.test_hub import run_client

TEXT = "I woke up with pain in the left knee and shoulder."
SHARE = "import sys; from genner.commands import share; print('exit code', share.main(sys.argv[1:]))"
LOAD = "import sys; from genner import load; print([(e.type, e.text) for e in load(sys.argv[1])(sys.argv[2])])"


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    """A copy of a run that may be changed."""
    return shutil.copytree(trained_run, tmp_path / "runs" / "demo" / "small", symlinks=True)


@pytest.fixture(scope="module")
def shared(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shared model with everything stated."""
    folder = tmp_path_factory.mktemp("shared") / "symptoms"
    flags = ["--license", "apache-2.0", "--data_license", "own | data", "--language", "en", "--example", TEXT]
    assert share.main([str(trained_run / "best"), "--to", str(folder), *flags]) == 0
    return folder


def card_of(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def found(ner: Recogniser) -> list[tuple[str, str, float]]:
    return [(entity.type, entity.text, round(entity.score, 5)) for entity in ner(TEXT)]


def test_a_copy_finds_what_the_model_finds(shared: Path, trained_model: Path) -> None:
    names = {path.name for path in shared.iterdir()}
    assert names == {path.name for path in trained_model.iterdir()} | {"README.md"}
    assert found(load(shared)) == found(load(trained_model)) != []
    assert not any(path.is_symlink() for path in shared.iterdir())


def test_the_hub_can_read_the_card(shared: Path, trained_run: Path) -> None:
    data = ModelCard(card_of(shared)).data
    assert (data.language, data.license, data.library_name) == ("en", "apache-2.0", "genner")
    assert data.pipeline_tag == "token-classification" and "discontinuous-ner" in data.tags
    seed = json.loads((trained_run / "seed-1" / "result.json").read_text())
    scores = {result.metric_type: result.metric_value for result in data.eval_results}
    assert scores == {
        "f1": pytest.approx(seed["test"]["f"] / 100, abs=1e-4),
        "precision": pytest.approx(seed["test"]["pre"] / 100, abs=1e-4),
        "recall": pytest.approx(seed["test"]["rec"] / 100, abs=1e-4),
    }
    assert data.eval_results[0].dataset_split == "test"


def test_the_card_says_what_is_known(shared: Path, trained_run: Path) -> None:
    card = card_of(shared)
    result = json.loads((trained_run / "result.json").read_text())
    for tag in ("BODY", "LOC", "ORG", "PER", "SYMPTOM"):
        assert re.search(rf"^\| {tag} +\| {tag.lower()} +\|$", card, re.MULTILINE)
    assert result["fingerprint"]["train"]["sha256"][:16] in card
    assert f"{result['seeds'][0]['test']['f']:.2f}" in card
    assert "- Model: apache-2.0\n- Data: own \\| data" in card and "not stated" not in card
    assert "only the first 1200 sentences" in card.lower()
    assert f"torch {result['versions']['torch']}" in card
    assert "(1 sentences)" not in card


def test_the_example_is_what_the_model_answers(shared: Path, capsys: pytest.CaptureFixture) -> None:
    """The code of the card runs beside the copy and prints what the card says."""
    code = re.search(r"```python\n(.*?)```", card_of(shared), re.DOTALL)[1]
    printed = re.search(r"This prints:\n\n```\n(.*?)```", card_of(shared), re.DOTALL)[1]
    exec(code.replace("load('symptoms')", f"load({str(shared)!r})"), {})
    assert capsys.readouterr().out == printed


def test_what_nobody_stated_is_not_invented(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert share.main([str(run), "--to", str(tmp_path / "copy"), "--example", "Nothing."]) == 0
    card = card_of(tmp_path / "copy")
    data = ModelCard(card).data
    assert data.license is None and data.language is None and data.datasets is None and data.base_model is None
    assert card.count(": not stated") == 3
    assert "not stated in the card: license, data_license, language" in capsys.readouterr().out


@pytest.mark.parametrize(("language", "words"), [("de", "de"), ("tlh", "xx")])
def test_other_languages(run: Path, tmp_path: Path, language: str, words: str) -> None:
    """Words are found by the rules of the language, or of any where there are none."""
    copy = tmp_path / "copy"
    assert share.main([str(run), "--to", str(copy), "--language", language]) == 0
    assert f"ner = load('copy', language='{words}')" in card_of(copy)


def test_a_bare_model_folder_has_a_card_too(run: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(run / "best", tmp_path / "bare")
    (bare / "calibration.json").unlink(missing_ok=True)
    assert share.main([str(bare), "--to", str(tmp_path / "copy")]) == 0
    card = card_of(tmp_path / "copy")
    assert "Not known: the model was shared without its training results." in card
    assert "Counts and digests of the data are not known" in card and "they are not calibrated" in card
    assert ModelCard(card).data.eval_results is None


def test_scores_over_seeds(run: Path, tmp_path: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    result |= {"n_ok": 3, "n_collapsed": 1}
    result["mean"]["test_f"], result["std"]["test_f"] = 81.25, 0.75
    write_json(run / "result.json", result)
    assert share.main([str(run / "best"), "--to", str(tmp_path / "copy")]) == 0
    card = card_of(tmp_path / "copy")
    own = f"{result['seeds'][0]['test']['f']:.2f}"
    assert re.search(rf"^\| test F1 +\| +{own} \| +81\.25 ± 0\.75 \|$", card, re.MULTILINE)
    assert "mean ± std of 3 seeds" in card and "1 collapsed; the mean does not include them" in card


def test_paths_of_this_machine_stay_here(run: Path, tmp_path: Path) -> None:
    folder = (run / "best").resolve()
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    recipe["data"]["root"], recipe["backbone"] = "/home/ada/secret", "/home/ada/secret/bart"
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    write_json(folder / "tokenizer_config.json", config | {"name_or_path": "/home/ada/secret/bart"})
    copy = tmp_path / "copy"
    assert share.main([str(folder), "--to", str(copy)]) == 0
    for path in copy.iterdir():
        assert b"secret" not in path.read_bytes(), path.name
    assert "Backbone: bart." in card_of(copy)
    assert found(load(copy)) == found(load(folder))


def test_other_formats_and_files_are_left_out_and_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = (run / "best").resolve()
    for name in ("pytorch_model.bin", "optimizer.pt", "notes.txt", "README.md", "LICENSE"):
        (folder / name).write_text("x")
    (folder / "old").mkdir()
    assert share.main([str(folder), "--to", str(tmp_path / "copy")]) == 0
    assert {path.name for path in (tmp_path / "copy").iterdir()} <= {*MODEL_FILES, "README.md", "LICENSE"}
    said = capsys.readouterr().out
    assert "left out: pytorch_model.bin (weights that can run code when they are loaded)" in said
    assert "left out: optimizer.pt (weights" in said and "left out: notes.txt (not part of a model)" in said
    assert "left out: old (a folder)" in said and "left out: README.md (a new one is written)" in said


def test_links_are_not_followed_out_of_the_folder(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = (run / "best").resolve()
    (tmp_path / "private.txt").write_text("secret")
    (folder / "LICENSE").symlink_to(tmp_path / "private.txt")
    assert share.main([str(folder), "--to", str(tmp_path / "copy")]) == 0
    assert "left out: LICENSE (a link out of the model folder)" in capsys.readouterr().out
    assert not (tmp_path / "copy" / "LICENSE").exists()
    (folder / "model.safetensors").rename(tmp_path / "weights")
    (folder / "model.safetensors").symlink_to(tmp_path / "weights")
    with pytest.raises(DataFormatError, match=r"a link to .*weights, outside the model folder\..*Copy the file"):
        find_model(folder)


def test_a_model_in_the_cache_of_the_hub_is_whole(trained_model: Path, tmp_path: Path) -> None:
    """Its files are links to another folder there."""
    snapshot, blobs = tmp_path / "models--ada--x" / "snapshots" / "abc", tmp_path / "models--ada--x" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for path in trained_model.iterdir():
        shutil.copyfile(path, blobs / path.name)
        (snapshot / path.name).symlink_to(Path("..", "..", "blobs", path.name))
    assert find_model(snapshot).left_out == ()


def test_a_best_model_that_is_a_copy_has_the_results_of_its_seed(run: Path) -> None:
    """As where the system has no links."""
    seed = (run / "best").resolve()
    (run / "best").unlink()
    shutil.copytree(seed, run / "best")
    assert find_model(run / "best").seed == find_model(seed).seed is not None


def test_what_the_hub_would_refuse_is_told_before(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    stated = ["--license", "Apache 2.0", "--language", "English", "--datasets", "own data", "ada/letters"]
    assert share.main([str(run), "--to", str(tmp_path / "copy"), *stated]) == 2
    one, two, three = capsys.readouterr().err.splitlines()
    assert "'Apache 2.0' is not known to the hub (did you mean 'apache-2.0'?)" in one
    assert "'English' is not known to the hub (did you mean 'en'?)" in two
    assert "'own data' is no name of a data set on the hub" in three
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("MIT", "mit"),
        ("GPLv3", "gpl-3.0"),
        ("CC BY-NC 4.0", "cc-by-nc-4.0"),
        ("Apache License, Version 2.0", "apache-2.0"),
        ("BSD 3 Clause", "bsd-3-clause"),
        ("the licence of my firm", None),
    ],
)
def test_licences_as_people_write_them(given: str, meant: str | None) -> None:
    (problem,) = stated_problems(given, "", ())
    assert (f"did you mean {meant!r}" in problem) if meant else "did you mean" not in problem
    assert not list(stated_problems(meant or "other", "", ()))


@pytest.mark.parametrize(("given", "meant"), [("en-US", "en"), ("German", "de"), ("xx", "multilingual"), ("qq", None)])
def test_languages_as_people_write_them(given: str, meant: str | None) -> None:
    (problem,) = stated_problems("", given, ())
    assert (f"did you mean {meant!r}" in problem) if meant else "did you mean" not in problem
    assert not list(stated_problems("", meant or "tlh", ()))


def test_a_run_folder_stands_for_its_best_model(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert share.main([str(run), "--to", str(tmp_path / "copy")]) == 0
    assert f"{run}: its best model, {run / 'best'}" in capsys.readouterr().err


def test_a_model_without_safetensors_is_refused(run: Path, tmp_path: Path) -> None:
    folder = (run / "best").resolve()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(
        DataFormatError, match=r"no model\.safetensors, only pytorch_model\.bin\. Expected a model folder"
    ):
        find_model(folder)


def test_a_damaged_model_is_not_shared(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The copy is opened before it gets its name."""
    ((run / "best").resolve() / "model.safetensors").write_bytes(b"nothing")
    assert share.main([str(run / "best"), "--to", str(tmp_path / "copy")]) == 2
    assert "damaged model folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    (run / "result.json").write_text("{")
    with pytest.raises(DataFormatError, match=r"result\.json: cannot be read .* Expected the result of a training"):
        find_model(run / "best")


def test_an_earlier_copy_is_replaced_only_if_asked_for(shared: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    target.mkdir()
    arguments = [str(shared), "--to", str(target)]
    assert share.main(arguments) == 0, "an empty folder is a new one"
    first = card_of(target)
    assert share.main(arguments) == 2
    (target / "README.md").write_text("changed")
    assert share.main([*arguments, "--overwrite"]) == 0
    assert card_of(target) == first
    (target / "thesis.tex").touch()
    with pytest.raises(ConfigError, match=r"holds 'thesis\.tex', which is not part of a shared model"):
        destination_of(str(target), shared, overwrite=True)
    assert (target / "thesis.tex").exists()


def test_a_copy_that_fails_leaves_the_earlier_one(shared: Path, tmp_path: Path) -> None:
    target = shutil.copytree(shared, tmp_path / "copy")

    def fail(_: Path) -> None:
        raise DataFormatError("no")

    with pytest.raises(DataFormatError, match="no"):
        write_copy(FoundModel(shared, None, None, ()), target, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
    assert card_of(target) == card_of(shared)


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("model", r"is, holds or lies in the model itself"),
        ("model/copy", r"could be a model on the hub, or a folder in 'model' here.*hub:model/copy.*\./model/copy"),
        ("./model/copy", r"is, holds or lies in the model itself"),
        (".", r"is, holds or lies in the model itself"),
        ("file", r"file is a file\. Expected a new folder"),
        ("hub:name", r"'hub:name' is not a name on the hub\. Expected hub:user/name"),
    ],
)
def test_destinations_that_are_refused(to: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=message):
        destination_of(to, (tmp_path / "model").resolve())


def test_destinations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "model"
    assert destination_of("ada/symptoms", model) == (None, "ada/symptoms")
    assert destination_of("hub:ada/symptoms", model) == (None, "ada/symptoms")
    assert destination_of("./ada/symptoms", model) == (Path("ada/symptoms"), None)
    assert destination_of("symptoms", model) == (Path("symptoms"), None)


@pytest.mark.slow
def test_to_the_hub_and_back(shared: Path, tmp_path: Path) -> None:
    with FakeHub() as hub:
        about = {"hub": hub.address, "home": tmp_path, "HF_TOKEN": TOKEN}
        flags = ["--private", "--message", "First try", "--license", "mit"]
        said = run_client(SHARE, str(shared), "--to", "ada/symptoms", *flags, **about)
        assert "exit code 0" in said and f"ada/symptoms: {hub.address}/ada/symptoms/commit/" in said
        repository = hub.repositories["ada/symptoms"]
        assert repository.private and repository.messages == ["First try"]
        assert set(repository.files()) == {path.name for path in shared.iterdir()}
        assert b"ner = load('ada/symptoms')" in repository.files()["README.md"]
        got = run_client(LOAD, "ada/symptoms", TEXT, **about)
        assert got == str([(kind, text) for kind, text, _ in found(load(shared))])

        again = run_client(SHARE, str(shared), "--to", "ada/symptoms", **about)
        assert "exit code 0" in again and len(repository.commits) == 2


@pytest.mark.parametrize(
    ("to", "environment", "message"),
    [
        ("ada/symptoms", {}, "you are not logged in. Expected a hub that accepts it. Log in with 'hf auth login'"),
        ("ada/symptoms", {"HF_TOKEN": "wrong"}, "Check that the token may write to that name"),
        ("bob/symptoms", {"HF_TOKEN": TOKEN}, "You don't have the rights to create a model under this namespace"),
        ("ada/symptoms", {"HF_TOKEN": TOKEN, "HF_ENDPOINT": "http://127.0.0.1:9"}, "Check the network and HF_ENDPOINT"),
        ("ada/symptoms", {"HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
    ],
)
def test_what_the_hub_refuses_is_told(
    shared: Path, tmp_path: Path, to: str, environment: dict[str, str], message: str
) -> None:
    code = f"""
import sys
from pathlib import Path
from genner.errors import NerError
from genner.prediction.sharing import find_model, push
try:
    print(push(find_model(Path(sys.argv[1])), {to!r}, lambda folder: None, message="m", private=False))
except NerError as error:
    print(type(error).__name__, error)
"""
    with FakeHub() as hub:
        hub.repositories["bob/other"] = Repository()
        said = run_client(code, str(shared), **{"hub": hub.address, "home": tmp_path, **environment})
        assert said.startswith(f"MissingBackendError {to}: not uploaded to the hub: ")
        assert message in said and "\n" not in said
        assert set(hub.repositories) == {"bob/other"}
