"""Runs that are killed at random moments and begun again (``python -m benchmarks.kills``).

Tiny real runs of ``genner train``, with evaluation, saving and calibration, are killed by SIGKILL after a random time
and begun again by the same command, killed again, and so on until they are finished. Then their predictions, scores,
weights and calibrations must be those of a run that was never killed, byte for byte. Most runs train one seed in a
process forked from one that has the libraries in memory; every sixth trains two seeds as a shell would, and all its
processes die at once.

Finished runs are kept in the file of results, so that the benchmark itself may be stopped and begun again.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

__all__ = ["PRELOADED", "Trial", "kill_runs", "main"]

_ROOT = Path(__file__).resolve().parents[1]
_SETTINGS = (
    "--backbone", "scratch:tiny", "--runs_dir", "runs", "--run_name", "r", "--limit", "32", "training.epochs=4",
    "batching.size=8", "training.device=cpu",
)  # fmt: skip
_EVERY = 6
_KILLS_A_RUN = 8  # at most; then it may finish
_SECONDS_TO_END = 300

#: Modules of a training run.
PRELOADED = ["genner.commands.train", "genner.app.job", "genner.app.seed"]
# A process forked from one that has them needs no time to load torch and fastNLP: that takes longer than a run.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(PRELOADED)


@dataclass(frozen=True)
class Trial:
    """A run in a folder of its own.

    Attributes:
        folder: the working folder of its processes.
        seeds: that it trains; with several, each is trained in another process.
    """

    folder: Path
    seeds: tuple[int, ...]

    def start(self) -> Any:
        """Begin or continue it, in a process (forked for one seed) or several ones."""
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments = [*_SETTINGS, "--seeds", *map(str, self.seeds)]
        if len(self.seeds) == 1:
            process = _CONTEXT.Process(target=_train, args=(self.folder, arguments))
            process.start()
            return process
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, str(_ROOT / "train.py"), *arguments], cwd=self.folder, stdout=log, stderr=log,
                env=os.environ | {"PYTHONPATH": str(_ROOT)}, start_new_session=True,
            )  # fmt: skip

    def run(self, kill_after: float | None = None) -> int | None:
        """Begin or continue it; the exit code, None if it was killed after so many seconds."""
        process = self.start()
        if kill_after is not None and _waited(process, kill_after) is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL) if len(self.seeds) == 1 else os.killpg(process.pid, signal.SIGKILL)
            code = _waited(process, _SECONDS_TO_END)
            return None if code == -signal.SIGKILL else code
        return _waited(process, _SECONDS_TO_END)

    def outcome(self) -> dict[str, Any]:
        """What must not depend on kills: scores, and the digests of predictions, weights and calibration."""
        run = self.folder / "runs" / "demo" / "r"
        found: dict[str, Any] = {}
        for seed in self.seeds:
            folder = run / f"seed-{seed}"
            result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
            found[f"scores of {seed}"] = {
                name: result[name] for name in ("status", "best_epoch", "steps", "dev", "test")
            }
            for path in sorted([*folder.glob("predictions.*.jsonl"), *(folder / "best").iterdir()]):
                found[f"{seed}/{path.name}"] = sha256(path.read_bytes()).hexdigest()
        return found


def kill_often(trial: Trial, seconds: float, choose: Random, most: int) -> int:
    """Kill a run at moments before a whole one would end, at most so often, then let it finish; how often it died.

    Raises:
        RuntimeError: it ended with an error.
    """
    n_kills = 0
    while n_kills < most:
        code = trial.run(choose.uniform(0, 0.5 * seconds))
        if code == 0:
            return n_kills
        if code is not None:
            raise RuntimeError(f"{trial.folder}: exit code {code} after {n_kills} kills; see {trial.folder / 'log'}")
        n_kills += 1
    if (code := trial.run()) != 0:
        raise RuntimeError(f"{trial.folder}: exit code {code} after {n_kills} kills; see {trial.folder / 'log'}")
    return n_kills


def whole(trial: Trial) -> tuple[dict[str, Any], float]:
    """The outcome of a run that is never killed, and how long it took."""
    begun_at = time.monotonic()
    if (code := trial.run()) != 0:
        raise RuntimeError(f"{trial.folder}: exit code {code}; see {trial.folder / 'log'}")
    return trial.outcome(), time.monotonic() - begun_at


def kill_runs(folder: Path, n_kills: int, seed: int, *, with_several: bool = True) -> list[dict[str, Any]]:
    """Kill runs until there were ``n_kills`` kills; a record of every run, also of those of before.

    Args:
        folder: of the runs and of ``kills.json``, the records.
        n_kills: in total.
        seed: of the moments.
        with_several: every sixth run trains two seeds.
    """
    records_path = folder / "kills.json"
    records = json.loads(records_path.read_text(encoding="utf-8")) if records_path.is_file() else []
    expected: dict[str, tuple[dict[str, Any], float]] = {}
    while (done := sum(record["kills"] for record in records)) < n_kills:
        number = len(records)
        seeds = (1, 2) if with_several and number % _EVERY == _EVERY - 1 else (1 + number % 2,)
        key = "-".join(map(str, seeds))
        if key not in expected:
            _tell(f"a run of seed {' and '.join(map(str, seeds))}, not killed ...")
            shutil.rmtree(folder / f"whole-{key}", ignore_errors=True)
            # Twice, as the first one also writes the caches that all others read.
            whole(Trial(folder / f"whole-{key}" / "first", seeds))
            expected[key] = whole(Trial(folder / f"whole-{key}" / "second", seeds))
        outcome, seconds = expected[key]
        trial = Trial(folder / f"run-{number}", seeds)
        shutil.rmtree(trial.folder, ignore_errors=True)
        begun_at = time.monotonic()
        killed = kill_often(trial, seconds, Random(f"{seed} {number}"), min(_KILLS_A_RUN, n_kills - done))
        if not killed:  # the machine is faster than it was
            expected[key] = (outcome, time.monotonic() - begun_at)
        found = trial.outcome()
        differing = sorted(name for name in outcome.keys() | found.keys() if outcome.get(name) != found.get(name))
        records.append({"seeds": seeds, "kills": killed, "differing": differing})
        records_path.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
        if not differing:
            shutil.rmtree(trial.folder)
        _tell(f"run {number}: {killed} kills ({done + killed} of {n_kills}), {differing or 'the same outcome'}")
    return records


def measures(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The numbers for the JSON file, in the form of all benchmarks."""
    n_kills = sum(record["kills"] for record in records)
    n_same = sum(record["kills"] for record in records if not record["differing"])
    share = n_same / max(n_kills, 1)
    return {
        "kills": {"value": n_kills, "unit": "kills", "goal": None, "holds": True},
        "kills_same_outcome": {"value": share, "unit": "share", "goal": 1.0, "holds": share == 1.0},
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Kill runs, print what became of them, write the JSON file; exit code 1 if an outcome differs."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--folder", type=Path, default=Path("runs/kills"), help="of the runs, and of what is finished")
    parser.add_argument("--output", type=Path, default=_ROOT / "benchmarks" / "kills.json")
    options = parser.parse_args(argv)
    options.folder.mkdir(parents=True, exist_ok=True)
    records = kill_runs(options.folder.resolve(), options.kills, options.seed)
    found = measures(records)
    options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    share = found["kills_same_outcome"]["value"]
    print(f"{found['kills']['value']} kills in {len(records)} runs, {share:.0%} with the same outcome")
    print(f"written: {options.output}")
    return 0 if found["kills_same_outcome"]["holds"] else 1


def _train(folder: Path, arguments: Sequence[str]) -> None:
    """Run the command in this process, its output in a file."""
    import torch

    from genner.commands import train

    os.chdir(folder)
    torch.set_num_threads(1)
    with (folder / "log").open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        sys.exit(train.main(arguments))


def _waited(process: Any, seconds: float) -> int | None:
    """The exit code of a process; None if it goes on for longer."""
    if isinstance(process, subprocess.Popen):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return process.poll()
    process.join(seconds)
    return process.exitcode


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
