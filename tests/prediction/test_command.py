"""predict.py on a small trained model: what it prints and writes, what it says, how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from genner import load
from genner.commands.predict import main
from genner.data.schema import Entity, Segment
from genner.data.tally import Tally
from genner.evaluation.span_f1 import SpanF1
from genner.prediction.reading import FORMATS as INPUT_FORMATS
from genner.prediction.results import TextResult, place_entity, words_joined
from genner.prediction.writing import FORMATS
from genner.prediction.writing.base import FEATURES
from tests.conftest import ROOT

TEXT = "I woke up with pain in the left knee and shoulder. On Monday, Otto Tondwright bought a farm near Lake Borbury."


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture()
def run(trained_model: Path, capsysbinary) -> Callable[..., Outcome]:
    """``predict.py`` in this process."""

    def predict_here(*arguments: str | Path, model: Path = trained_model) -> Outcome:
        code = main([str(model), *map(str, arguments)])
        out, err = capsysbinary.readouterr()
        return Outcome(code, out.decode("utf-8"), err.decode("utf-8"))

    return predict_here


LOADING = "loading torch and transformers ..."


def said(stderr: bytes | str) -> list[str]:
    """Lines of standard error but the one that a slow machine needs to say."""
    lines = (stderr if isinstance(stderr, str) else stderr.decode()).splitlines()
    return [line for line in lines if line != "genner predict: starting ..."]


def as_process(*arguments: str | Path, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "predict.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, **options)


def test_help_and_usage_cost_no_libraries() -> None:
    code = (
        "import sys; from genner.commands import predict; predict.parse(['m', '--text', 'x']); "
        "print([name for name in ('torch', 'spacy', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    told = as_process("--help", text=True)
    assert told.returncode == 0 and "exit codes: 0 done; 1 some texts failed" in told.stdout


def test_texts_of_the_command_line_as_json(run, trained_model: Path) -> None:
    done = run("--text", TEXT, "--text", "")
    assert (done.code, done.err.removeprefix(f"{LOADING}\n")) == (0, "")
    one, two = map(json.loads, done.out.splitlines())
    assert {**one, "id": "0"} == load(trained_model)(TEXT).record()
    assert two == {"id": "2", "text": "", "entities": []}
    assert len(one["entities"]) > 2


def test_texts_of_the_command_line_in_a_terminal(trained_model: Path) -> None:
    leader, follower = os.openpty()
    command = [sys.executable, str(ROOT / "predict.py"), str(trained_model), "--text", TEXT]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(command, cwd=ROOT, stdout=follower, stderr=subprocess.PIPE, env=environment)
    os.close(follower)
    shown = b""
    while not shown.endswith(b"\r\n\r\n"):
        shown += os.read(leader, 4096)
    os.close(leader)
    assert done.returncode == 0 and said(done.stderr) == [LOADING]
    shown = shown.decode("utf-8")
    assert "\x1b[" in shown and "━━" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "I woke up with pain in the left knee and shoulder ." in plain and "{" not in plain


def test_a_file_with_lines_that_cannot_be_read(run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(TEXT.encode() + b"\n\nM\xfcnchen\n" + b"\xff\n" * 4)
    done = run("--input", tmp_path / "notes.txt", "--output", tmp_path / "found" / "out.jsonl")
    assert done.code == 1 and done.out == ""
    records = [json.loads(line) for line in (tmp_path / "found" / "out.jsonl").read_text().splitlines()]
    assert [record["id"] for record in records] == [f"notes:{number}" for number in range(1, 8)]
    assert records[0]["entities"] and records[1]["entities"] == []
    assert "notes.txt:3: byte 0xfc at offset 113 is not UTF-8" in records[2]["error"]
    progress, *lines = done.err.removeprefix(f"{LOADING}\n").splitlines()
    assert re.fullmatch(r"7 of 7 texts, 24 words, [\d,]+ words/s", progress)
    assert re.fullmatch(r"texts 7  entities \d+  failed 5", lines[0])
    assert lines[1] == "failed:" and lines[2].startswith("  notes:3: ")
    assert "Run: iconv -f ISO-8859-1 -t UTF-8 < " in lines[2]
    assert lines[5:] == ["  ... and 2 more", f"-> {tmp_path}/found/out.jsonl"]


def test_standard_input(trained_model: Path) -> None:
    done = as_process(trained_model, "--input", "-", input=TEXT.encode() + b"\n" + TEXT.encode())
    assert done.returncode == 0
    one, two = map(json.loads, done.stdout.decode().splitlines())
    assert (one["id"], two["id"]) == ("stdin:1", "stdin:2") and one["entities"] == two["entities"]
    loading, progress, summary = said(done.stderr)
    assert (loading, summary) == (LOADING, f"texts 2  entities {2 * len(one['entities'])}  failed 0")
    assert re.fullmatch(r"2 texts, 48 words, [\d,]+ words/s", progress), "how many will come is not known"


def test_known_entities_are_compared(run, trained_run: Path, tmp_path: Path) -> None:
    """P, R and F1 are those of the evaluation on the same sentences."""
    path = (trained_run / "best").resolve().parent / "predictions.test.jsonl"
    judged = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()][:100]
    metric, writer, content = SpanF1(), FORMATS["discontinuous"](Tally()), b""
    for number, line in enumerate(judged):
        gold, found = (as_result(line["raw_words"], line[name], str(number)) for name in ("gold", "pred"))
        metric.update([one.words for one in gold], [one.words for one in found])
        content += writer.record(gold)
    (tmp_path / "gold.txt").write_bytes(content)
    micro = metric.compute().micro
    done = run("--input", tmp_path / "gold.txt", "--format", "discontinuous", "--to", "discontinuous")
    assert done.code == 0
    expected = f"({micro.support}): P {micro.pre:.2f}  R {micro.rec:.2f}  F1 {micro.f:.2f}"
    assert f"against the entities of the input {expected}\n" in done.err
    (tmp_path / "found.txt").write_text(done.out, encoding="utf-8")
    again = run("--input", tmp_path / "found.txt", "--format", "discontinuous")
    assert "P 100.00  R 100.00  F1 100.00" in again.err


def as_result(words: list[str], rows: list[dict], name: str) -> TextResult:
    given = words_joined(words)
    entities = [Entity(row["type"], tuple(Segment(*span) for span in row["spans"])) for row in rows]
    placed = tuple(place_entity(one, given.text, given.words) for one in entities)
    return TextResult(given.text, name, given.words, (Segment(0, len(words)),), placed)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_written(name: str, run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text(TEXT)
    done = run("--input", tmp_path / "notes.txt", "--output", tmp_path / "out", "--to", name)
    assert done.code == 0, done.err
    assert (tmp_path / "out").is_dir() == (name == "brat")
    holds_scores = "scores" in FORMATS[name].holds or name == "terminal"
    assert (f"not held by {name}:\n" in done.err and "x score, left out (notes:1)" in done.err) == (not holds_scores)


def test_brat_folders_in_and_out(run, tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "sub" / "a.txt").write_text(TEXT)
    (tmp_path / "in" / "b.txt").write_text(TEXT.replace(". ", ".\n\n"))
    assert run("--input", tmp_path / "in", "--output", tmp_path / "out", "--to", "brat").code == 0
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert names == {"sub/a.txt", "sub/a.ann", "b.txt", "b.ann", "annotation.conf"}
    again = run("--input", tmp_path / "out")
    assert "P 100.00  R 100.00  F1 100.00" in again.err
    read_by_others = run("--input", tmp_path / "out", "--words", "blanks")
    assert "widened to the word" in read_by_others.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected either --text or --input"),
        (("--text", "a", "--input", "b"), "expected either --text or --input"),
        (("--text", "a", "--resume"), "argument --resume/--overwrite: expected a file or folder as --output"),
        (("--text", "a", "--chunk_words", "0"), "argument --chunk_words: 0: expected 1 or more"),
        (("--text", "a", "--to", "xml"), "argument --to: invalid choice: 'xml'"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], message: str, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["model", *arguments])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--input", "nowhere.txt"), "nowhere.txt: no such file or folder. Expected one, or - for standard input"),
        (("--input", "in", "--format", "conll"), "in: no file to read. Expected files that end in .conll"),
        (("--text", "a", "--to", "brat"), "output: '-' is a stream. Expected a folder for this format. Set --output"),
        (("--text", "a", "--min_score", "7"), "min_score is 7.0. Expected a number from 0 to 1"),
        (("--text", "a", "--lang", "qq"), "language: 'qq' cannot be used"),
        (("--text", "a\udcff"), "--text: 'a\\udcff' is not UTF-8. Expected text in UTF-8. Set your locale"),
        (("--input", "in", "--output", "in/out.jsonl"), "--input in overlap. Expected another place for the output"),
        (("--input", "in/a.md", "--output", "in/a.md", "--overwrite"), "in/a.md overlap. Expected another place"),
        (("--input", "in/a.md", "--output", "in", "--overwrite", "--to", "brat"), "--input in/a.md overlap"),
    ],
)
def test_errors_are_one_message(arguments, message: str, run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.md").write_text("text")
    done = run(*arguments)
    assert done.code == 2 and done.out == ""
    assert done.err.startswith("error: ") and message in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_model_that_is_none(run, tmp_path: Path) -> None:
    done = run("--text", "a", model=tmp_path)
    assert done.code == 2
    assert f"error: {tmp_path}: not a model folder, model.json is missing" in done.err


def test_a_reader_that_has_seen_enough(trained_model: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text((TEXT + "\n") * 400)
    script = f"{sys.executable} predict.py {trained_model} --input {tmp_path}/notes.txt --chunk_words 100 | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout.count("\n") == 1
    assert said(done.stderr) == [LOADING, "standard output was closed; the rest is not written"]


def test_the_page_says_what_formats_hold() -> None:
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    table = page.split("## Formats out")[1].split("\n\n")[2].splitlines()
    header, _, *rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table]
    assert header[1:] == list(FEATURES)
    declared = {name: [feature in writer.holds for feature in FEATURES] for name, writer in FORMATS.items()}
    assert {name: [cell == "yes" for cell in cells] for name, *cells in rows} == declared
    for name, one in INPUT_FORMATS.items():
        (row,) = re.findall(rf"^\| `{name}` \|.*\|$", page.split("## Formats in")[1].split("## Formats out")[0], re.M)
        assert name == "discontinuous" or any(f"{ending} " in row or f"{ending}`" in row for ending in one.endings)


def test_the_pages_snippet_reads_a_docbin(run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text(TEXT)
    assert run("--input", "notes.txt", "--output", "found.spacy").code == 0
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    (snippet,) = [block for block in page.split("```python\n")[1:] if "DocBin" in block.split("```")[0]]
    exec(textwrap.dedent(snippet.split("```")[0]), {})
    found = run("--input", "notes.txt")  # gives what the snippet printed as well
    entities = json.loads(found.out.splitlines()[-1])["entities"]
    shown = [f"notes:1 {one['type']} {' ... '.join(part['text'] for part in one['segments'])}" for one in entities]
    assert len(shown) > 2 and found.out.splitlines()[:-1] == shown
