"""make gpu: its phases, its numbers and its table; and the bundle for machines that can download nothing."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import gpu, gpu_bundle, gpu_parts

ROW = {
    "what": "greedy", "precision": "bfloat16", "sentences_per_second": 812.4, "ms": 394.1, "share_of_peak": 0.042,
    "peak_memory_mb": 1234.5, "waits_per_step": 0.63,
}  # fmt: skip
RESULTS = {"base": {"machine": "a GPU, torch 2", "rows": [ROW]}, "large": {"machine": "a GPU, torch 2", "rows": []}}


def phases(folder: Path, *, seconds: float = 30) -> list:
    made = []
    for name, content in RESULTS.items():
        path = folder / f"{name}.json"
        write = f"open({str(path)!r}, 'w').write({json.dumps(content)!r})"
        made.append(gpu._Phase(name, [sys.executable, "-c", write], seconds, path))
    made.append(gpu._Phase("demo", [sys.executable, "-c", "raise SystemExit(3)"], seconds, folder / "none.json"))
    return [*made, gpu._Phase("tests", [sys.executable, "-c", "import time; time.sleep(60)"], 0.5)]


def test_every_phase_counts_whatever_became_of_the_others(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(gpu, "_phases", lambda options, folder: phases(folder))
    path = tmp_path / "found.json"
    assert gpu.main(["--quick", "--output", str(path)]) == 1
    found = json.loads(path.read_text(encoding="utf-8"))
    states = {name: part["status"] for name, part in found.items()}
    assert states == {"base": "ok", "large": "ok", "demo": "failed", "tests": "stopped"}
    shown = capsys.readouterr().out
    assert "Measured on a GPU, torch 2." in shown and "tests stopped (" in shown
    assert "| BART-base | greedy | bfloat16 | 812 | 394.10 | 4 % | 1,234 MB | 0.63 |" in shown


def test_no_phase_starts_after_the_end(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(gpu, "_phases", lambda options, folder: phases(folder))
    path = tmp_path / "found.json"
    gpu.main(["--quick", "--seconds", "0", "--output", str(path)])
    assert {part["status"] for part in json.loads(path.read_text(encoding="utf-8")).values()} == {"stopped"}


def test_the_real_phases_fit_into_eight_minutes(tmp_path) -> None:
    found = gpu._phases(Namespace(device="cuda", quick=False), tmp_path)
    assert [phase.name for phase in found] == ["tests", "demo", "base", "large"]
    assert sum(phase.limit for phase in found) <= 480 and gpu._MOST_SECONDS < 480


def test_the_table_has_a_place_in_the_documents(tmp_path) -> None:
    page = tmp_path / "performance.md"
    page.write_text((gpu._ROOT / "docs" / "performance.md").read_text(encoding="utf-8"), encoding="utf-8")
    for text in ("first", "second"):
        gpu.write_table(page, text)
    text = page.read_text(encoding="utf-8")
    assert "second" in text and "first\n<!--" not in text and text.rstrip().endswith("gain then.")


@pytest.mark.slow
def test_a_shape_is_measured_on_a_cpu_as_well(tmp_path) -> None:
    path = tmp_path / "base.json"
    gpu_parts.main(["base", "--device", "cpu", "--quick", "--output", str(path)])
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert {row["what"] for row in rows} == {
        "greedy", "4 beams", "encoder", "training step", "training step, deterministic",
    }  # fmt: skip
    assert {row["precision"] for row in rows} == {"bfloat16", "float32"} and len(rows) == 10
    assert all(row["sentences_per_second"] > 0 and row["tflop"] >= 0 for row in rows)
    assert gpu.table({"base": {"status": "ok", "seconds": 1, **json.loads(path.read_text())}}).count("BART-base") == 10


def test_the_bundle_is_the_last_commit_with_wheels(tmp_path, monkeypatch, capsys) -> None:
    """Nothing is downloaded here: what would be is noted."""
    if not (gpu_bundle._ROOT / ".git").exists():
        pytest.skip("no git repository here, so there is no last commit")
    asked = []

    def download(folder: Path, arguments: list[str]) -> None:
        folder.mkdir(exist_ok=True)
        asked.append(list(arguments))

    monkeypatch.setattr(gpu_bundle, "_download", download)
    folder = tmp_path / "bundle"
    for _ in range(2):
        gpu_bundle.main([str(folder)])
    pins = (folder / "wheels" / "requirements.txt").read_text(encoding="utf-8").split()
    assert {"FastNLP==1.0.1", "rich==11.2.0", "fitlog==0.9.15"} <= set(pins)
    assert not [pin for pin in pins if pin.startswith(("torch", "transformers"))]
    assert {arguments[1] for arguments in asked if arguments[0] == "--python-version"} == {"3.11", "3.12", "3.13"}
    assert (folder / "benchmarks" / "gpu.py").is_file() and (folder / "Makefile").is_file()
    assert f"{folder}: " in capsys.readouterr().out
    (tmp_path / "mine").mkdir()
    with pytest.raises(SystemExit):
        gpu_bundle.main([str(tmp_path / "mine")])
