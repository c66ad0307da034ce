"""What is seen of a command while it reads: a bar on a terminal, lines elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from genner.commands import progress as module
from genner.commands.progress import Progress, count_texts
from tests.conftest import ROOT

_STEPS = """
import sys, time
from genner.commands.progress import Progress
with Progress({total}) as progress:
    for texts, words in {steps}:
        progress.at(texts, words)
        time.sleep(0.25)
"""


def test_lines_of_a_log_file(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BETWEEN_LINES", 0.0)
    with Progress(40, n_done=10) as progress:
        progress.at(2.5, 50)  # in the middle of a chunk: no line
        progress.at(10, 200)
        progress.begin()
        progress.at(20, 400)
    first, last = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"20 of 40 texts, 200 words, [\d,]+ words/s, about 0:00:00 left", first)
    assert re.fullmatch(r"40 of 40 texts, 600 words, [\d,]+ words/s", last)


def test_lines_are_few_and_the_last_is_never_missing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(None) as progress:
        for number in range(1, 50):
            progress.at(number, 10 * number)
    assert re.fullmatch(r"49 texts, 490 words, [\d,]+ words/s\n", capsys.readouterr().err)
    with Progress(None, is_silent=True) as progress:
        progress.at(1, 1)
    with Progress(3):
        pass
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("total", [4, None])
def test_a_bar_moves_within_texts(total: int | None) -> None:
    """In a process that has a terminal."""
    leader, follower = os.openpty()
    code = _STEPS.format(total=total, steps=[(0.5, 10), (1.5, 30), (3, 60), (4, 80)])
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=follower)
    os.close(follower)
    shown = b""
    try:
        while got := os.read(leader, 4096):
            shown += got
    except OSError:  # closed by the process
        pass
    assert process.wait() == 0
    os.close(leader)
    text = shown.decode("utf-8")
    for part in ["0 of 4 texts, 0 words", "38%", "75%", "1 of 4 texts, 30 words"] if total else ["1 texts, 30 words"]:
        assert part in text
    assert text.rstrip().endswith("\r") or not text.splitlines()[-1].strip(), "the bar disappears"


def test_texts_are_counted_beforehand(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"one\n\n\xff\nfour\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "some.jsonl").write_text(
        '{"text": "my left knee", "entities": [{"type": "BODY", "segments": [{"start": 3, "end": 12}]}]}\n'
        '{"words": ["a"]}\n'
    )
    assert count_texts(str(tmp_path / "notes.txt"), "auto") == 4
    assert count_texts(str(tmp_path), "auto") == 3, "a .txt file in a folder is one text"
    assert count_texts("-", "auto") is None
    os.mkfifo(tmp_path / "pipe")
    assert count_texts(str(tmp_path / "pipe"), "lines") is None
