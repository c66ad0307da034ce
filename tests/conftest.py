"""Set-up of all tests: patches before fastNLP, no network, few threads; where the shared data lies."""

import os
import socket
import subprocess
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; tests run in two processes

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from genner import patches

ROOT = Path(__file__).resolve().parents[1]
LOOPBACK = ("127.0.0.1", "::1", "localhost")

patches.apply_all()

# How fast examples are drawn is a matter of the machine and of what else it does.
settings.register_profile("machines", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("machines")


def _guarded(original):
    """``connect`` that reaches this machine only."""

    def connect(self, address, *rest):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in LOOPBACK:
            raise RuntimeError(f"a test tried to reach {address[0]!r} over the network")
        return original(self, address, *rest)

    return connect


socket.socket.connect = _guarded(socket.socket.connect)
socket.socket.connect_ex = _guarded(socket.socket.connect_ex)


def folder_or_skip(variable: str, default: Path) -> Path:
    """The folder that an environment variable names, or the default; skips the test where it is absent."""
    folder = Path(os.environ.get(variable) or default)
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: set {variable} to the folder")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real corpora and of the awkward files, from GENNER_SHARED_DATA."""
    return folder_or_skip("GENNER_SHARED_DATA", ROOT.parent / "shared" / "data")


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    """Folder of the committed fixtures."""
    return ROOT / "tests" / "fixtures"


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a small model, trained for seconds on the demo, once for all processes that test. Read only."""
    base = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        base = base.parent
    folder = base / "trained"
    with FileLock(base / "trained.lock"):
        if not (folder / "runs" / "demo" / "small" / "result.json").is_file():
            folder.mkdir(exist_ok=True)
            settings = ["--limit", "1200", "training.epochs=4", "--runs_dir", "runs", "--run_name", "small"]
            command = [sys.executable, str(ROOT / "train.py"), *settings]
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / "runs" / "demo" / "small"


@pytest.fixture(scope="session")
def trained_model(trained_run: Path) -> Path:
    """The model folder of that run."""
    return trained_run / "best"


@pytest.fixture()
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, so that runs/ and logs/ of a test go there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def without_code_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    """``torch.compile`` traces the graphs, but leaves out the C++ compiler, which takes a minute for each."""
    import torch

    original = torch.compile
    traced = lambda step, *, dynamic, options: original(step, dynamic=dynamic, backend="eager")  # noqa: E731
    monkeypatch.setattr(torch, "compile", traced)
