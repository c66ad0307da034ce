"""Runs that are killed, at any moment, and gone on with: the output is, byte for byte, that of a run never killed."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from genner.commands.predict import main
from genner.prediction.writing import FORMATS
from tests.prediction.stub import predict, start, use_stub

SEED = 20261124
TEXTS = (
    b"Ann Moss ran home. Sore knees and elbows.\n\nthe odd one\nM\xfcnchen\nall over the left and the right of it\n"
    b"Zo\xc3\xab \xf0\x9f\x98\x80 saw Otto\n"
)


@pytest.fixture()
def place(tmp_path: Path) -> Path:
    """A folder with an input and what stands for a model."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"1")
    (tmp_path / "in.txt").write_bytes(TEXTS * 8)
    return tmp_path


@pytest.fixture()
def here(place: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Callable[..., tuple[int, str]]:
    """``predict.py`` with the stub in this process; gives the exit code and what was said."""
    monkeypatch.setattr("genner.commands.predict.open_model", None)
    use_stub(place / "model")

    def run(*extra: str | Path) -> tuple[int, str]:
        code = main([str(one) for one in command(place, "jsonl", *extra)])
        return code, capsys.readouterr().err

    return run


def command(place: Path, name: str, *extra: str | Path) -> list[str | Path]:
    usual = ["--chunk_words", "12", "--input", place / "in.txt", "--output", place / "out", "--to", name]
    return [place / "model", *usual, *extra]


def outcome(place: Path, output: str = "out") -> dict[str, bytes]:
    """Everything that a run leaves under its output's name."""
    left = [path for path in place.rglob("*") if path.is_file() and output in path.relative_to(place).parts[0]]
    ours = [path for path in left if path.suffix not in (".err", ".lock")]
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in ours}


def killed_at(place: Path, name: str, choose: random.Random, call: str) -> int:
    """Run until it is finished, killed before a random call of a function each time; returns how often it was."""
    for n_kills in range(200):
        code = predict(command(place, name, "--resume"), place / "model", stop=(call, choose.randint(2, 9)))
        if code != -signal.SIGKILL:
            assert code == 1, (place / "out.err").read_text()  # as some texts fail
            return n_kills
    raise AssertionError("it never comes to its end")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "call"),
    [*product(["jsonl", "docbin", "brat"], ["fsync", "replace", "unlink"]), ("brat", "rename")],
)
def test_killed_before_every_call(name: str, call: str, place: Path) -> None:
    """Killed once, before the first call of a function, the second, and so on to the last; then gone on with."""
    (place / "in.txt").write_bytes(TEXTS)
    assert predict([*command(place, name), "--output", place / "whole"], place / "model") == 1
    whole = {path.replace("whole", "out", 1): content for path, content in outcome(place, "whole").items()}
    for number in range(1, 40):
        if predict(command(place, name), place / "model", stop=(call, number)) == 1:
            break
        assert predict(command(place, name, "--resume"), place / "model") == 1, number
        assert outcome(place) == whole
        shutil.rmtree(place / "out", ignore_errors=True)
        (place / "out").unlink(missing_ok=True)
    assert number > 1
    assert outcome(place) == whole


@pytest.mark.parametrize("name", FORMATS)
def test_killed_at_any_call(name: str, place: Path) -> None:
    assert predict(command(place, name), place / "model") == 1
    expected, said = outcome(place), (place / "out.err").read_text()
    for path in expected:
        (place / path).unlink()
    if (place / "out").is_dir():
        (place / "out").rmdir()
    assert len(expected) == (1 if name != "brat" else 2 * 32 + 2)  # of brat also types and ids
    choose = random.Random(SEED)
    n_kills = killed_at(place, name, choose, ("fsync", "replace")[list(FORMATS).index(name) % 2])
    assert n_kills >= 2
    assert outcome(place) == expected
    assert (place / "out.err").read_text() == said


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jsonl", "docbin", "brat"])
def test_killed_at_random_moments(name: str, place: Path) -> None:
    begun_at = time.monotonic()
    (place / "in.txt").write_bytes(TEXTS * 20)
    whole = [*command(place, name), "--output", place / "whole"]
    assert predict(whole, place / "model", None, 0.01) == 1
    seconds = time.monotonic() - begun_at
    choose, n_kills = random.Random(SEED), 0
    for _ in range(12):
        process = start(command(place, name, "--resume"), place / "model", None, 0.01)
        process.join(choose.uniform(0.1, 0.4) * seconds)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join(60)
        if process.exitcode != -signal.SIGKILL:
            break
        n_kills += 1
    assert n_kills >= 2
    if not (place / "out").exists():
        assert predict(command(place, name, "--resume"), place / "model") == 1
    renamed = {path.replace("whole", "out", 1): content for path, content in outcome(place, "whole").items()}
    assert outcome(place) == renamed


@pytest.mark.slow
def test_a_real_model_that_is_killed(trained_model: Path, tmp_path: Path) -> None:
    """Scores included: chunks, and so batches, are those of a run that was never stopped."""
    pairs = [("Ann", "knee"), ("Otto Tondwright", "left shoulder"), ("Lake Borbury", "right hip")]
    lines = [f"Day {n}: {who} woke up with pain in the {what} and elbow." for n in range(40) for who, what in pairs]
    (tmp_path / "in.txt").write_text("\n".join(lines))

    def arguments(name: str) -> list[str | Path]:
        return [trained_model, "--input", tmp_path / "in.txt", "--chunk_words", "60", "--output", tmp_path / name]

    assert predict(arguments("whole.jsonl")) == 0
    for n_texts in (10, 35, 60):  # of 120: the one that kills may come late
        process = start([*arguments("out.jsonl"), "--resume"])
        while process.is_alive() and n_finished(tmp_path / "out.jsonl.part.json") < n_texts:
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
    if not (tmp_path / "out.jsonl").exists():
        assert predict([*arguments("out.jsonl"), "--resume"]) == 0
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert len(outcome(tmp_path)) == 1


def n_finished(log: Path) -> int:
    """Texts that a run has saved so far."""
    try:
        return json.loads(log.read_text())["done"].get("n_inputs", 0)
    except FileNotFoundError:
        return 0


def test_what_a_killed_run_leaves(place: Path, here) -> None:
    assert predict(command(place, "jsonl"), place / "model", stop=("fsync", 8)) == -signal.SIGKILL
    assert not (place / "out").exists()
    log = json.loads((place / "out.part.json").read_text())
    n_done = log["done"]["n_inputs"]
    assert 0 < n_done < 48
    content = (place / "out.part").read_bytes()
    assert content[: log["size"]].count(b"\n") == n_done
    code, said = here()
    assert code == 2
    assert said.startswith(f"error: {place}/out.part.json: from a run that was stopped. Expected none. Set --resume")
    assert here("--resume")[0] == 1
    assert [json.loads(line)["id"] for line in (place / "out").read_text().splitlines()] == [
        f"in:{number}" for number in range(1, 49)
    ]


def test_an_output_that_is_there_is_not_replaced_unasked(place: Path, here) -> None:
    (place / "out").write_text("mine")
    code, said = here()
    assert code == 2 and "out: already exists. Expected a new file. Choose one, or set --overwrite" in said
    code, said = here("--resume")
    assert code == 0 and "out is there and no run of it was stopped: nothing is left to do. Set --overwrite" in said
    assert outcome(place) == {"out": b"mine"}
    assert here("--overwrite")[0] == 1
    assert b"mine" not in (place / "out").read_bytes()
    assert sorted(path.name for path in place.iterdir()) == ["in.txt", "model", "out"]


def test_a_stopped_run_can_be_begun_anew(place: Path, here) -> None:
    assert predict(command(place, "jsonl"), place / "model", stop=("fsync", 8)) == -signal.SIGKILL
    (place / "in.txt").write_bytes(b"other\n")
    assert here("--overwrite")[0] == 0
    assert outcome(place).keys() == {"out"} and (place / "out").read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda place: ["--min_score", "0.4"], "the run was started with min_score 0.0, now 0.4. Expected the same"),
        (lambda place: ["--to", "conll"], "the run was started with to 'jsonl', now 'conll'. Expected the same"),
        (lambda place: (place / "model" / "weights").write_bytes(b"22"), "started with state of the model "),
        (lambda place: (place / "in.txt").write_bytes(b"x" + TEXTS * 8), "in.txt: not the .* texts that the run"),
        (lambda place: (place / "in.txt").write_bytes(TEXTS[:40]), "in.txt: not the .* texts that the run started"),
        (lambda place: (place / "out.part").write_bytes(b""), "out.part: shorter than the .* bytes that were written"),
        (lambda place: (place / "out.part").unlink(), "out.part: missing, but out.part.json exists. Expected both"),
        (lambda place: (place / "out.part.json").write_bytes(b"{"), "out.part.json: not the log of a stopped run"),
        (lambda place: (place / "out.part.json").write_bytes(b'{"version": 9}'), r"stopped run \(version 9\)"),
        (lambda place: (place / "out.part.json").unlink(), "out.part: exists without out.part.json, so its origin is"),
    ],
)
def test_only_the_same_run_is_gone_on_with(change, message: str, place: Path, here) -> None:
    assert predict(command(place, "jsonl"), place / "model", stop=("fsync", 8)) == -signal.SIGKILL
    extra, log = change(place), place / "out.part.json"
    before = outcome(place)
    size = json.loads(log.read_bytes()).get("size", 0) if log.exists() and log.read_bytes() != b"{" else 0
    code, said = here("--resume", *(extra if isinstance(extra, list) else ()))
    assert code == 2
    assert re.search(message, said), said
    after = outcome(place)
    assert after.keys() == before.keys() and after.get("out.part.json") == before.get("out.part.json")
    assert after.get("out.part", b"")[:size] == before.get("out.part", b"")[:size]


def test_more_texts_at_the_end_are_read_as_well(place: Path, here) -> None:
    assert predict(command(place, "jsonl"), place / "model", stop=("fsync", 8)) == -signal.SIGKILL
    with (place / "in.txt").open("ab") as file:
        file.write(b"one more\n")
    assert here("--resume")[0] == 1
    assert json.loads((place / "out").read_text().splitlines()[-1])["text"] == "one more"


def test_an_output_in_use_is_refused(place: Path, here) -> None:
    process = start(command(place, "jsonl"), place / "model", None, 0.2)
    while not (place / "out.part").exists():
        assert process.is_alive()
        time.sleep(0.01)
    code, said = here("--resume")
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert code == 2
    assert "out: another process is writing it. Expected one at a time. Wait for it." in said


def test_ctrl_c_tells_how_to_go_on(place: Path) -> None:
    process = start(command(place, "jsonl"), place / "model", None, 0.05)
    while not (place / "out.part").exists() or not (place / "out.part").stat().st_size:
        assert process.is_alive()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    process.join(30)
    assert process.exitcode == 130
    assert (place / "out.err").read_text().strip().splitlines()[-1] == (
        f"interrupted; finished texts are kept beside {place}/out: add --resume to continue"
    )
    assert predict(command(place, "jsonl", "--resume"), place / "model") == 1
    assert outcome(place).keys() == {"out"}


def test_a_run_that_fails_at_once_leaves_nothing(place: Path, here) -> None:
    (place / "folder").mkdir()
    for output in ("out", "new/deep/out", "folder2/out"):
        code, said = here("--input", place / "folder", "--output", place / output)
        assert code == 2 and "no file to read" in said
    assert sorted(path.name for path in place.iterdir()) == ["folder", "in.txt", "model"]


@pytest.mark.parametrize("name", ["jsonl", "brat"])
def test_a_finished_run_is_finished(name: str, place: Path, here) -> None:
    assert here("--to", name)[0] == 1
    before = outcome(place)
    code, said = here("--to", name, "--resume")
    assert code == 0 and "nothing is left to do. Set --overwrite to write it anew." in said
    assert outcome(place) == before
    (place / "in.txt").write_text("Ann ran.\n")
    assert here("--to", name, "--resume", "--overwrite")[0] == 0
    assert outcome(place) != before


def test_ids_of_any_kind_are_resumed(place: Path, here) -> None:
    """Names of files depend on the ids before: those of a run that was stopped are the same."""
    ids = ["日" * 200, "note", "note.txt/1", "a/" * 500 + "b", "NOTE", "note", "..", "con", "../note", "日" * 200]
    rows = [json.dumps({"id": name, "text": f"Ann saw Otto {n}."}) for n, name in enumerate(ids)]
    (place / "in.jsonl").write_text("\n".join(rows))
    arguments = ["--input", place / "in.jsonl", "--to", "brat"]
    assert predict([*command(place, "brat", *arguments), "--output", place / "whole"], place / "model") == 0
    code = predict(command(place, "brat", *arguments), place / "model", stop=("replace", 4))
    assert code == -signal.SIGKILL
    assert here(*arguments, "--resume")[0] == 0
    whole = {path.replace("whole", "out", 1): content for path, content in outcome(place, "whole").items()}
    assert outcome(place) == whole and len(whole) == 2 * len(ids) + 2


def test_a_full_disk_is_one_message(place: Path, here) -> None:
    code, said = here("--output", "/dev/full")
    assert code == 2
    assert "/dev/full: cannot be written (No space left on device). Expected free space and permission to write" in said
    assert here("--output", "/dev/null")[0] == 1
    (place / "file").write_text("")
    code, said = here("--output", place / "file" / "out")
    assert code == 2 and "cannot be written" in said


@pytest.mark.parametrize("moment", range(1, 5))
def test_a_folder_changes_its_name_in_one_step(moment: int, place: Path) -> None:
    """An older output is replaced only by a complete one, whatever rename the process dies before."""
    (place / "out").mkdir()
    (place / "out" / "old.txt").write_text("old")
    arguments = command(place, "brat", "--overwrite")
    code = predict(arguments, place / "model", stop=("rename", moment))
    if code == -signal.SIGKILL:
        whole = (place / "out", place / ".out.old")
        assert any((folder / "old.txt").exists() for folder in whole)
        assert predict([*arguments, "--resume"], place / "model") == 1
    names = {path.split("/")[0] for path in outcome(place)}
    assert names == {"out"} and not (place / "out" / "old.txt").exists()
