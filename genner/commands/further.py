"""The command that trains further from the model of a finished run, as a new run."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from genner.config import Recipe

__all__ = ["further_command"]

#: Options that a command for another run repeats.
_RESTATED = (
    "dataset_name", "formulation", "recipe", "kind", "data_root", "seeds", "on_collapse", "track", "limit", "parallel",
    "runs_dir",
)  # fmt: skip
_LONGEST_NAME = 80  # bytes of the name of a run, to which something is added


def further_command(options: argparse.Namespace, recipe: Recipe, run: Path, n_epochs: int) -> str:
    """The command line of a new run that trains ``n_epochs`` from the model of ``run``, else with the same settings."""
    replaced = ("backbone", "training.epochs", "training.evaluate_from", "optim.lr")
    arguments: list[str] = []
    for name in _RESTATED:
        if (value := getattr(options, name)) is not None:
            arguments += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    arguments += [text for text in options.overrides if text.partition("=")[0] not in replaced]
    # The rate is that of the old backbone, which has another default than a folder.
    arguments += [f"training.epochs={n_epochs}", f"optim.lr={recipe.optim.lr:g}"]
    name = f"{run.name.encode()[:_LONGEST_NAME].decode(errors='ignore')}-plus-{n_epochs}"
    return shlex.join(["genner", "train", *arguments, "--backbone", str(run / "best"), "--run_name", name])
