"""A folder to measure on a GPU machine that can download nothing (``make gpu-bundle``): the project and what it lacks.

Such a machine has torch, transformers and the usual scientific packages for Python 3.11 to 3.13 on x86-64; the bundle
brings the rest as wheels. There, ``make gpu PYTHON=python3`` in the folder installs them beside the project, leaves
torch and transformers as they are, and measures. The project is that of the last commit.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tarfile
import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree

__all__ = ["BROUGHT", "main"]

_ROOT = Path(__file__).resolve().parents[1]
#: What training and prediction import and such a machine lacks, in the versions installed here.
BROUGHT = (
    "FastNLP", "prettytable", "wcwidth", "rich", "commonmark", "fitlog", "GitPython", "gitdb", "smmap", "pydantic",
    "annotated-types", "typing-inspection",
)  # fmt: skip
_COMPILED = ("pydantic_core",)
_PYTHONS = ("3.11", "3.12", "3.13")
_MOST_MEGABYTES = 60


def main(argv: Sequence[str] | None = None) -> None:
    """Write the folder and print its size."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=_ROOT / "gpu-bundle", help="is replaced")
    folder = parser.parse_args(argv).folder.resolve()
    if folder.exists() and not (folder / "wheels").is_dir():
        parser.error(f"{folder}: exists and is no bundle. Expected a new folder. Choose another one.")
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryFile() as file:
        subprocess.run(["git", "-C", str(_ROOT), "archive", "HEAD"], stdout=file, check=True)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            archive.extractall(folder, filter="data")
    pins = [f"{name}=={importlib.metadata.version(name)}" for name in (*BROUGHT, *_COMPILED)]
    _download(folder / "wheels", pins[: len(BROUGHT)])
    for python in _PYTHONS:
        platform = ["--python-version", python, "--implementation", "cp", "--platform", "manylinux2014_x86_64"]
        _download(folder / "wheels", [*platform, "--only-binary=:all:", *pins[len(BROUGHT) :]])
    (folder / "wheels" / "requirements.txt").write_text("\n".join(pins) + "\n", encoding="utf-8")
    megabytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
    print(f"{folder}: {megabytes:.1f} MB. On the GPU machine: cd {folder.name} && make gpu PYTHON=python3")
    assert megabytes < _MOST_MEGABYTES, f"internal error: more than {_MOST_MEGABYTES} MB"


def _download(folder: Path, arguments: Sequence[str]) -> None:
    """Wheels without what they need in turn; what has none is built into one that suits every machine."""
    command = "download" if "--platform" in arguments else "wheel"
    pip = [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check", "--no-deps"]
    where = ["--dest"] if command == "download" else ["--wheel-dir"]
    subprocess.run([*pip, *where, str(folder), *arguments], check=True)


if __name__ == "__main__":
    main()
