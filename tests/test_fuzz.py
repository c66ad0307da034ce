"""The fuzzer finds what it should find, and nothing in a short run over everything."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from benchmarks import fuzz
from benchmarks.fuzzing import cases
from benchmarks.fuzzing.cases import Case, Target, run_case
from benchmarks.fuzzing.mutations import mutate
from benchmarks.fuzzing.samples import Sample
from benchmarks.fuzzing.targets import make_targets
from genner.errors import DataFormatError

LINES = b"first\nsecond\nthird\n"


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_a_short_run_finds_nothing(target: str, trained_run: Path, tmp_path: Path) -> None:
    fuzzing = fuzz.Fuzzing(make_targets([target], trained_run), seed=5, folder=tmp_path)
    fuzzing.run(seconds=60, n_cases={"prepare": 15, "folders": 12}.get(target, 60))
    assert not [finding.what for finding in fuzzing.findings.values()]
    assert fuzzing.counts.total() > 5


def read(folder: Path, kind: str, choose: Random) -> Iterator[str]:
    """Reads files, with faults."""
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes()
        if b"trace" in content:
            raise KeyError("third")
        if b"slow" in content:
            time.sleep(5)
        if b"curt" in content:
            raise DataFormatError(f"{path}: curt.")
        if b"good" in content:
            raise DataFormatError(f"{path}:1: a word 'good'. Expected another. Change it.")
        if b"lone" in content:
            yield "text 1: cannot be read"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"trace", "KeyError: 'third' (test_fuzz.py:"),
        (b"slow", "TimeoutError: more than 0.3 s"),
        (b"curt", "message: FOLDER/b.txt: curt."),
        (b"lone", "message: text 1: cannot be read"),
        (b"good", None),
        (b"nothing", None),
    ],
)
def test_what_a_finding_is(content: bytes, what: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cases, "SECONDS", 0.3)
    target = Target([], read)
    case = Case("own", "own", "1", {"a.txt": LINES, "b.txt": LINES + content + LINES})
    finding, _ = run_case(case, target)
    if what is None:
        assert finding is None
        return
    assert finding.what.startswith(what)
    if content != b"slow":
        smaller = cases.shrink(case, target, finding.sign)
        assert smaller.files == {"b.txt": content}
        saved = finding.save(tmp_path, smaller)
        assert fuzz.replay(saved, {"own": target}).what == finding.what


def test_the_same_seed_gives_the_same_cases() -> None:
    sample = Sample("own", {"a.txt": LINES, "b.jsonl": b'{"text": "a", "spans": [{"start": 0}]}\n'})
    made = [[mutate(sample.files, [sample.files], Random(f"{seed} {n}")) for n in range(50)] for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]
    assert sum(files != sample.files for files in made[0]) > 25
    assert sample.files["a.txt"] == LINES
