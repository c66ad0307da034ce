"""What a GPU does with this project, in at most 8 minutes (``make gpu``).

Phases, each a process of its own with a limit on its time: the tests marked ``gpu``; the demo trained; and for the
shapes of BART-base and BART-large with random weights a training step, greedy and beam decoding, and the encoder, in
bfloat16 and float32. Writes ``benchmarks/gpu.json``, and the table of ``docs/performance.md``.

``--device cpu --quick`` runs everything with tiny sizes, to check that it works.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["main", "table", "write_table"]

_ROOT = Path(__file__).resolve().parents[1]
_BEGIN, _END = "<!-- gpu table: begin -->", "<!-- gpu table: end -->"
_MOST_SECONDS = 460
_PATIENCE = 3  # a CPU that does other things as well starts slowly
_DEMO_QUICK = ("--limit", "40", "training.epochs=1")


@dataclass(frozen=True)
class _Phase:
    """A command, the seconds that it may take, and the file that it writes its numbers to."""

    name: str
    command: Sequence[str]
    limit: float
    result: Path | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run all phases; 0 if none of them failed."""
    parser = ArgumentParser(description=__doc__)
    device = os.environ.get("GENNER_GPU_DEVICE", "cuda")
    parser.add_argument("--device", default=device, help="cuda, cuda:1, or cpu to check that it runs")
    parser.add_argument("--quick", action="store_true", help="tiny sizes; numbers go to gpu.quick.json")
    parser.add_argument("--seconds", type=float, default=_MOST_SECONDS, help="for all phases together")
    parser.add_argument("--output", type=Path, help="JSON file (default: benchmarks/gpu.json)")
    options = parser.parse_args(argv)
    path = options.output or _ROOT / "benchmarks" / f"gpu{'.quick' * options.quick}.json"
    print(f"about {options.seconds / 60:.0f} minutes at most on {options.device}; writes {path}", flush=True)
    deadline, found = time.monotonic() + options.seconds, {}
    with tempfile.TemporaryDirectory() as folder:
        for phase in _phases(options, Path(folder)):
            found[phase.name] = _run(phase, Path(folder), deadline, patience=_PATIENCE if options.quick else 1)
            path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")  # what there is, if it is stopped
    print(f"\n{table(found)}\n\nwritten: {path}")
    if not options.quick:
        page = _ROOT / "docs" / "performance.md"
        write_table(page, table(found))
        print(f"written: {page}")
    return int(any(phase["status"] != "ok" for phase in found.values()))


def _phases(options: Namespace, folder: Path) -> list[_Phase]:
    python, quick = sys.executable, ["--quick"] * options.quick
    tests = ["-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", str(_ROOT / "tests" / "test_real_gpu.py")]
    run = ["--runs_dir", str(folder / "runs"), "--run_name", "gpu", f"training.device={options.device}"]
    demo = [str(_ROOT / "train.py"), *run, *(_DEMO_QUICK if options.quick else ())]
    phases = [_Phase("tests", [python, *tests], 110), _Phase("demo", [python, *demo], 130, _demo_result(folder))]
    for shape, limit in (("base", 90), ("large", 130)):
        result = folder / f"{shape}.json"
        parts = ["-m", "benchmarks.gpu_parts", shape, "--device", options.device, "--output", str(result), *quick]
        phases.append(_Phase(shape, [python, *parts], limit, result))
    return phases


def _demo_result(folder: Path) -> Path:
    return folder / "runs" / "demo" / "gpu" / "seed-1" / "result.json"


def _run(phase: _Phase, folder: Path, deadline: float, *, patience: float) -> dict[str, Any]:
    """What the phase wrote, with its status: ``ok``, ``failed``, or ``stopped`` at its limit."""
    seconds = min(phase.limit * patience, deadline - time.monotonic())
    print(f"\n== {phase.name}, at most {max(seconds, 0):.0f} s", flush=True)
    begun = time.monotonic()
    status = "stopped"
    if seconds > 0:
        paths = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = os.environ | {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
        try:
            code = subprocess.run(phase.command, cwd=folder, env=environment, timeout=seconds, check=False).returncode
            status = "ok" if code == 0 else "failed"
        except subprocess.TimeoutExpired:
            pass
    numbers: dict[str, Any] = {"status": status, "seconds": round(time.monotonic() - begun, 1)}
    if phase.result is not None and phase.result.is_file():
        numbers |= _selected(phase.name, json.loads(phase.result.read_text(encoding="utf-8")))
    print(f"== {phase.name}: {status} after {numbers['seconds']} s", flush=True)
    return numbers


def _selected(name: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
    if name != "demo":
        return dict(numbers)
    scores = {f"{split}_f": numbers[split]["f"] for split in ("dev", "test") if split in numbers}
    return {key: numbers[key] for key in ("epochs", "steps_per_second", "train_seconds", "peak_memory_mb")} | scores


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The numbers as a Markdown table; what is missing is a dash."""
    machines = [part["machine"] for part in found.values() if "machine" in part]
    lines = [f"Measured on {machines[0]}." if machines else "Nothing was measured.", ""]
    lines += ["| shape | what | precision | sentences/s | ms | share of the peak | peak memory | waits per step |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for shape in ("base", "large"):
        for row in found.get(shape, {}).get("rows", []):
            cells = [f"BART-{shape}", row["what"], row["precision"], f"{row['sentences_per_second']:.0f}"]
            cells += [f"{row['ms']:.2f}", _share(row), _megabytes(row), _plain(row.get("waits_per_step"))]
            lines.append(f"| {' | '.join(cells)} |")
    if "steps_per_second" in (demo := found.get("demo", {})):
        lines += [
            "",
            f"The demo: {demo['epochs']} epochs in {demo['train_seconds']:.0f} s of training, "
            f"{demo['steps_per_second']:.1f} steps/s, test F1 {demo['test_f']:.2f}, {demo['peak_memory_mb']:.0f} MB.",
        ]
    phases = ", ".join(f"{name} {part['status']} ({part['seconds']} s)" for name, part in found.items())
    return "\n".join([*lines, "", f"Phases: {phases}."])


def _share(row: Mapping[str, Any]) -> str:
    share = row.get("share_of_peak")
    return "–" if share is None else f"{100 * share:.0f} %"


def _megabytes(row: Mapping[str, Any]) -> str:
    megabytes = row.get("peak_memory_mb")
    return "–" if megabytes is None else f"{megabytes:,.0f} MB"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def write_table(page: Path, text: str) -> None:
    """Replace what stands between the two marks of a Markdown page."""
    before, found, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, found_end, after = rest.partition(_END)
    assert found and found_end, f"internal error: {page} has no place for the table"
    page.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
