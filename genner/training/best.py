"""The best model of a seed and its predictions, which take their places after the state that names their epoch.

A process may be killed at any moment, and on a GPU an epoch that is repeated need not score the same. So a new best
model is written beside the old one, under the number of its epoch; the checkpoint is written; then the model takes its
place. Whoever continues the run finishes that, or removes what no checkpoint names.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from genner.files import move_folder, recover_folder, replace_folder

__all__ = ["settle_best", "write_best"]

_PREFIX, _MODEL = ".best-of-epoch-", "best"


def write_best(folder: Path, epoch: int, fill: Callable[[Path, Path], None]) -> None:
    """Write the model and the predictions of an epoch; they wait for :func:`settle_best`.

    Args:
        folder: of the seed.
        epoch: which has just been the best.
        fill: called with the folders for the model, which is empty and may stay so, and for the prediction files.
    """

    def fill_both(waiting: Path) -> None:
        (waiting / _MODEL).mkdir()
        fill(waiting / _MODEL, waiting)
        if not any((waiting / _MODEL).iterdir()):
            (waiting / _MODEL).rmdir()

    replace_folder(folder / f"{_PREFIX}{epoch}", fill_both)


def settle_best(folder: Path, epoch: int | None) -> None:
    """Put what waits under the number of ``epoch`` into its place, and remove what waits under others.

    Args:
        folder: of the seed.
        epoch: the best of the checkpoint; None: there is no checkpoint, so nothing is kept.
    """
    recover_folder(folder / _MODEL)
    if epoch is None:
        # What is left of a training that was killed in its first epoch, or that collapsed and is restarted.
        shutil.rmtree(folder / _MODEL, ignore_errors=True)
        for path in folder.glob("predictions.*.jsonl"):
            path.unlink()
    for waiting in folder.glob(f"{_PREFIX}*"):
        if waiting.name == f"{_PREFIX}{epoch}":
            for path in waiting.glob("predictions.*.jsonl"):
                os.replace(path, folder / path.name)
            if (waiting / _MODEL).is_dir():
                move_folder(waiting / _MODEL, folder / _MODEL)
        shutil.rmtree(waiting)
