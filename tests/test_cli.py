"""What all commands share: output on any stream, the first line, how they end."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from genner import cli
from genner.commands import train
from genner.names import folder_name_problem

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("utf-8", "─── Zoë 日本 1.00 ± 0.10 \\udce9"),
        ("cp1252", "--- Zoë \\u65e5\\u672c 1.00 ± 0.10 \\udce9"),
        ("latin-1", "--- Zoë \\u65e5\\u672c 1.00 ± 0.10 \\udce9"),
        ("ascii", "--- Zo\\xeb \\u65e5\\u672c 1.00 +- 0.10 \\udce9"),
    ],
)
def test_a_stream_takes_what_it_cannot_encode(encoding: str, written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    cli.use_stand_ins()
    print("─── Zoë 日本 1.00 ± 0.10 \udce9", flush=True)  # the last one is a byte of a file name
    assert raw.getvalue().decode(encoding).rstrip() == written


def test_streams_that_are_no_streams_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    cli.use_stand_ins()


def command(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*cli.PROGRAM, *map(str, arguments)], cwd=cwd, env=os.environ | environment, capture_output=True, timeout=300
    )


PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "cp1252"}, PLAIN], ids=["cp1252", "C"])
def test_tables_are_printed_on_any_stream(environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for split in ("train", "dev", "test"):
        (folder / f"{split}.txt").write_text("Zoë B-人物\nsailed O\n", encoding="utf-8")
    settings = ["--dataset_name", "mine", "--kind", "flat", "--backbone", "scratch:tiny", "--data_root", folder]
    done = command("train", *settings, "--check_data", cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    assert b"-------" in done.stdout and b"\\u4eba\\u7269 1" in done.stdout
    assert b"Traceback" not in done.stderr


def test_ctrl_c_while_a_command_is_imported(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "import_module", interrupt)
    assert cli.run_command("report") == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_silent_command_is_announced(monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    """As one whose imports take long."""
    monkeypatch.setattr(cli, "_SECONDS_OF_SILENCE", 0.0)

    class Slow:
        @staticmethod
        def main(_: object) -> int:
            while not cli._has_spoken.wait(0.01):
                pass
            return 0

    monkeypatch.setattr(cli, "import_module", lambda _: Slow)
    assert cli.run_command("report") == 0
    assert capfd.readouterr().err == "genner report: starting ...\n"


def test_a_reader_that_has_seen_enough_ends_a_command_well(tmp_path: Path) -> None:
    program = [*cli.PROGRAM, "--help"]
    listening = subprocess.Popen(program, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    listening.stdout.close()
    _, err = listening.communicate(timeout=100)
    assert b"Traceback" not in err


@pytest.mark.parametrize(
    "name",
    ["a/b", "../up", "..", ".", "", ".hidden", "with blank", " ", "a\tb", "a:b", "x" * 101, "Ж" * 51, "CON", "nul.txt",
     "Com1", "ends.", "a\\b", "what?", "-x", "\udce9"],
)  # fmt: skip
def test_names_that_are_no_folders_everywhere(name: str) -> None:
    assert "Expected at most 100 bytes" in folder_name_problem(name)


@pytest.mark.parametrize("name", ["a", "lr_2e-5", "run.2", "Zoë", "console", "x" * 100, "2", "_x"])
def test_names_that_are(name: str) -> None:
    assert folder_name_problem(name) == ""


@pytest.mark.parametrize("arguments", [["--run_name", "a/b"], ["--run_name", "../up", "--check_data"]])
def test_a_run_is_not_begun_under_such_a_name(arguments: list[str], tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert train.main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: --run_name: ") and err.endswith("Choose such a --run_name.\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", "x" * 300],
        ["report", "--compare", "x" * 300, "y"],
        ["sweep", "x" * 300 + ".yaml"],
        ["train", "--recipe", "x" * 300],
        ["train", "--backbone", "x" * 300, "--check_data"],
        ["train", "--runs_dir", "file/runs", "--limit", "20"],
        ["prepare", "brat", "--raw", "x" * 300, "--out", "out"],
        ["predict", "x" * 300, "--text", "pain"],
        ["calibrate", "x" * 300, "--input", "texts.txt"],
        ["share", "x" * 300, "--to", "y"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_file_that_the_system_refuses_is_one_error(arguments: list[str], tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert cli.main(arguments) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.endswith("...")]
    assert len(errors) == 1 and errors[0].startswith("error: ") and ". Expected " in errors[0]
