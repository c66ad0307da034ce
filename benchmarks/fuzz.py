"""Damaged corpora, texts, originals, recipes, requests and model folders (``python -m benchmarks.fuzz``).

Valid samples of our own are damaged at random, seeded, and read by what reads them in real use. Every outcome must be
a success or one of our errors in the form "where: what. Expected ... . Do ... ."; within 10 s; and the memory of the
process must not grow. Everything else is a finding: it is made small and saved to a folder, from which ``--replay``
repeats it.
"""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from benchmarks.fuzzing.cases import SECONDS, Case, Finding, Target, run_case, shrink
from benchmarks.fuzzing.mutations import mutate
from benchmarks.fuzzing.samples import settings, texts

__all__ = ["TARGETS", "Fuzzing", "main"]

TARGETS = ("loaders", "readers", "prepare", "settings", "http", "folders")

_ROOT = Path(__file__).resolve().parents[1]
_MEMORY_GOAL = 1.05
_BETWEEN_SAMPLES, _BETWEEN_LINES = 5.0, 10.0  # seconds
_SLOW = frozenset({"prepare", "folders"})  # drawn less often: a case takes a tenth of a second


@dataclass
class Fuzzing:
    """A run of the fuzzer.

    Attributes:
        targets: what is fed, by name.
        seed: of every choice: with the number of a case and its target, all of it.
        folder: of the findings.
        findings: by their signs.
        memory: private memory of the process in MB, over time.
        counts: cases by target.
        slowest: seconds, and of which case.
        n_delayed: cases that took too long, but not when they were repeated at once.
    """

    targets: dict[str, Target]
    seed: int
    folder: Path
    findings: dict[str, Finding] = field(default_factory=dict)
    memory: list[float] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")
    n_delayed: int = 0

    def __post_init__(self) -> None:
        usual = [name for name in self.targets if name not in _SLOW]
        self._turns = usual * 10 + [name for name in self.targets if name in _SLOW]
        self._others = [sample.files for sample in (*texts(), *settings())]

    def one(self, number: int) -> None:
        """Read case ``number``."""
        choose = Random(f"{self.seed} {number}")
        name = choose.choice(self._turns)
        target = self.targets[name]
        sample = choose.choice(target.samples)
        files = mutate(sample.files, self._others, choose)
        case = Case(name, sample.kind, f"{self.seed} {number} {name}", files)
        finding, seconds = run_case(case, target)
        if seconds >= SECONDS:  # a busy disk or processor may have been slow, once
            finding, seconds = run_case(case, target)
            self.n_delayed += seconds < SECONDS
        self.counts[name] += 1
        self.slowest = max(self.slowest, (seconds, f"{name}, case {number}"))
        if finding is not None and finding.sign not in self.findings:
            self.findings[finding.sign] = finding
            smaller = case if seconds > 1 else shrink(case, target, finding.sign)
            _tell(f"case {number}, {name}: {finding.what} -> {finding.save(self.folder, smaller)}")

    def run(self, *, seconds: float, first: int = 0, n_cases: int | None = None) -> None:
        """Read case after case until the time is up; the number of the case that is read stands in ``running.txt``."""
        begun_at = sampled_at = told_at = time.monotonic()
        number = first
        self.folder.mkdir(parents=True, exist_ok=True)
        running = (self.folder / "running.txt").open("w", buffering=1)
        while (now := time.monotonic()) - begun_at < seconds and number - first != n_cases:
            running.seek(0)
            running.write(f"{number}\n")  # a crash of a library ends this process as well
            self.one(number)
            number += 1
            if now - sampled_at >= _BETWEEN_SAMPLES:
                sampled_at = now
                gc.collect()
                self.memory.append(private_mb())
            if now - told_at >= _BETWEEN_LINES:
                told_at = now
                self.tell(now - begun_at)

    def tell(self, seconds: float) -> None:
        """Print how far it is."""
        counts = ", ".join(f"{name} {count:,}" for name, count in sorted(self.counts.items()))
        memory = f"{self.memory[-1]:.0f} MB" if self.memory else "-"
        slowest = f"slowest {self.slowest[0]:.1f} s ({self.slowest[1]})"
        _tell(f"{seconds / 60:.1f} min: {counts}; {len(self.findings)} findings; {memory}; {slowest}")

    def growth(self) -> float:
        """Memory in the last quarter of the time over that in the second quarter; 1 if there are too few samples."""
        quarter = len(self.memory) // 4
        if not quarter:
            return 1.0
        return statistics.median(self.memory[-quarter:]) / statistics.median(self.memory[quarter : 2 * quarter])

    def measures(self) -> dict[str, dict]:
        """The numbers for the JSON file, in the form of all benchmarks."""
        values = {
            "fuzz_cases": (sum(self.counts.values()), "cases", None),
            "fuzz_findings": (len(self.findings), "errors", 0),
            "fuzz_delayed": (self.n_delayed, "cases", None),
            "fuzz_slowest": (round(self.slowest[0], 3), "s", SECONDS),
            "fuzz_memory": (round(self.growth(), 4), "ratio", _MEMORY_GOAL),
        }
        return {
            name: {"value": value, "unit": unit, "goal": goal, "holds": goal is None or value <= goal}
            for name, (value, unit, goal) in values.items()
        }


def private_mb() -> float:
    """The memory that is this process's own, in MB."""
    pages = dict(line.split(":") for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return sum(int(pages[name].split()[0]) for name in ("Private_Clean", "Private_Dirty")) / 1024


def replay(folder: Path, targets: dict[str, Target]) -> Finding | None:
    """Read a saved case again."""
    about = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    paths = [path for path in (folder / "files").rglob("*") if path.is_file()]
    files = {path.relative_to(folder / "files").as_posix(): path.read_bytes() for path in paths}
    case = Case(about["target"], about["kind"], about["key"], files)
    return run_case(case, targets[case.target])[0]


def small_run(folder: Path) -> Path:
    """The run folder of a small model, trained in a process of its own."""
    options = [
        "--backbone",
        "scratch:tiny",
        "--limit",
        "60",
        "training.epochs=1",
        "--runs_dir",
        "runs",
        "--run_name",
        "r",
    ]
    subprocess.run([sys.executable, _ROOT / "train.py", *options], cwd=folder, check=True, capture_output=True)
    return folder / "runs" / "demo" / "r"


def main(argv: Sequence[str] | None = None) -> int:
    """Feed the targets, print what is found, write the JSON file; the exit code is 1 if there are findings."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--target", nargs="+", choices=TARGETS, default=TARGETS)
    parser.add_argument("--model", type=Path, help="run folder of a trained model (default: a tiny one is trained)")
    parser.add_argument("--findings", type=Path, default=Path("runs/fuzz"), help="folder of what is found")
    parser.add_argument("--replay", type=Path, nargs="+", help="saved cases, read again")
    parser.add_argument("--output", type=Path, default=_ROOT / "benchmarks" / "fuzz.json")
    options = parser.parse_args(argv)
    _tell(
        f"fuzzing {', '.join(options.target)} for {options.minutes:g} minutes, seed {options.seed}; a model first ..."
    )
    from benchmarks.fuzzing.targets import make_targets  # late: the libraries take seconds, which should be told

    with tempfile.TemporaryDirectory() as folder:
        names = TARGETS if options.replay else options.target
        run = options.model or small_run(Path(folder))
        targets = make_targets(names, run.resolve())
        if options.replay:
            found = {path: replay(path, targets) for path in options.replay}
            print(
                *(
                    f"{path}: {finding and finding.what}\n{finding.details if finding else ''}"
                    for path, finding in found.items()
                ),
                sep="\n",
            )
            return 1 if any(found.values()) else 0
        fuzzing = Fuzzing(targets, options.seed, options.findings)
        fuzzing.run(seconds=60 * options.minutes, first=options.first)
    measures = fuzzing.measures()
    options.output.write_text(json.dumps(measures, indent=1) + "\n", encoding="utf-8")
    for name, one in measures.items():
        verdict = "holds" if one["holds"] else "DOES NOT HOLD"
        print(f"{name:16}{one['value']:>12} {one['unit']:8} goal {one['goal']}  {verdict}")
    print(f"written: {options.output}; memory over time in MB: {[round(value) for value in fuzzing.memory][::12]}")
    return 1 if fuzzing.findings else 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
