"""Turns a sweep file into the commands of its experiments, all checked before the first one starts."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genner.app.sweep_file import Draft, SweepFile
from genner.config import Kind, Recipe, flat_settings, recipe_tree, settings_digest
from genner.errors import ConfigError

__all__ = ["Experiment", "Plan", "plan_sweep", "shown"]

_FLAGS = ("dataset_name", "formulation", "recipe", "kind")
_PLAIN = re.compile(r"[\w./+-]+(:[\w./+-]+)*")
_DIGITS = 8


@dataclass(frozen=True)
class Experiment:
    """One command of a sweep.

    Attributes:
        run: the name of its run folder, derived from the settings that affect its scores.
        recipe: the resolved recipe.
        settings: the settings in which the experiments of the sweep differ.
        arguments: of train.py.
        folder: its run folder.
    """

    run: str
    recipe: Recipe
    settings: Mapping[str, Any]
    arguments: tuple[str, ...]
    folder: Path


@dataclass(frozen=True)
class Plan:
    """The experiments of a sweep, in the order of its file, the settings that differ, and notes for the user."""

    name: str
    experiments: tuple[Experiment, ...]
    columns: tuple[str, ...]
    notes: tuple[str, ...]


def plan_sweep(sweep: SweepFile, runs_dir: Path, recipe_of: Callable[[Sequence[str]], Recipe]) -> Plan:
    """Check every experiment of a sweep, name its run, and find the settings in which the experiments differ.

    Args:
        sweep: the content of the file.
        runs_dir: folder of the runs.
        recipe_of: returns the resolved recipe of a command line of train.py, or raises ConfigError.

    Raises:
        ConfigError: all problems of all experiments, or two experiments that would share a run folder.
    """
    problems: dict[str, None] = {}  # in order and without duplicates: problems in base occur in every experiment
    checked: list[tuple[Draft, list[str], Recipe]] = []
    for draft in sweep.drafts:
        found = _wrong_kind(draft)
        arguments = _arguments(draft.settings | ({"kind": Kind.flat.value} if found else {}))
        try:
            checked.append((draft, arguments, recipe_of(arguments)))
        except ConfigError as error:
            found += str(error).splitlines()
        problems |= dict.fromkeys(_located(problem, draft, sweep.path) for problem in found)
    if problems:
        raise ConfigError("\n".join(problems))
    return _plan(sweep, runs_dir, checked)


def shown(value: Any) -> str:
    """A setting as written on a command line: ``true``, ``0.001``, ``scratch:tiny``, ``[1, 2]``."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _plan(sweep: SweepFile, runs_dir: Path, checked: Sequence[tuple[Draft, list[str], Recipe]]) -> Plan:
    runs = [f"{sweep.name}-{_digest(recipe)}" for _, _, recipe in checked]
    resolved = [_resolved(draft, recipe) for draft, _, recipe in checked]
    _refuse_shared_folders(sweep.path, runs, resolved, [recipe for _, _, recipe in checked])
    own = dict.fromkeys(key for draft, _, _ in checked for key in draft.own)
    columns = tuple(key for key in own if len({shown(settings.get(key)) for settings in resolved}) > 1)
    experiments: dict[str, Experiment] = {}
    notes = []
    for number, (run, settings, (_, arguments, recipe)) in enumerate(zip(runs, resolved, checked, strict=True), 1):
        if run in experiments:
            notes.append(f"experiment {number} has the same settings as {run} and is not run again")
            continue
        where = ["--runs_dir", str(runs_dir), "--run_name", run]
        differing = {key: settings.get(key) for key in columns}
        folder = runs_dir / recipe.dataset / run
        experiments[run] = Experiment(run, recipe, differing, (*arguments, *where), folder)
    return Plan(sweep.name, tuple(experiments.values()), columns, tuple(notes))


def _arguments(settings: Mapping[str, Any]) -> list[str]:
    """The settings as a command line of train.py."""
    flags = list(_FLAGS)
    if settings.get("recipe") is not None:  # a recipe file names both, and the flags would be ignored
        flags = ["recipe", "kind"]
    arguments = []
    for key, value in settings.items():
        if key in flags:
            arguments += [f"--{key}={value}"] if value is not None else []
        elif key != "dataset_name" or value is not None:
            arguments.append(f"{'dataset' if key == 'dataset_name' else key}={shown(value)}")
    return arguments


def _wrong_kind(draft: Draft) -> list[str]:
    """A kind for which argparse would exit."""
    kind = draft.settings.get("kind")
    known = [one.value for one in Kind]
    return [] if kind is None or kind in known else [f"kind: {kind!r} cannot be used. Expected {', '.join(known)}."]


def _located(problem: str, draft: Draft, path: Path) -> str:
    """A problem of a recipe, with the section of the file that sets the key it names."""
    text = re.sub(r"^(command line|recipe): ", "", problem)
    if text == problem and re.match(r"[\w.-]+/[\w.-]+\.yaml: ", text):
        return problem  # the problem is in a recipe file, which the message names
    if ": no such recipe" in text:
        keys = [key for key in ("recipe", "dataset_name", "formulation") if draft.settings.get(key) is not None]
        return f"{path}: {', '.join(f'{draft.origins[key]}: {key}' for key in keys)}: {text}"
    for key in sorted(draft.settings, key=len, reverse=True):
        written = {"dataset_name": "dataset"}.get(key, key)
        if re.search(rf"(?<![\w.]){re.escape(written)}(?!\w|\.\w)", text.split(". Expected")[0]):
            return f"{path}: {draft.origins[key]}: {text}"
    return f"{path}: {text}"


def _digest(recipe: Recipe) -> str:
    """Of the settings and of the folder of the data: one sweep may go over several corpora."""
    return hashlib.sha256(f"{settings_digest(recipe)} {recipe.data.root}".encode()).hexdigest()[:_DIGITS]


def _resolved(draft: Draft, recipe: Recipe) -> dict[str, Any]:
    """Resolved settings under the keys of the sweep file."""
    asked = {"dataset_name": recipe.dataset, "recipe": draft.settings.get("recipe")}
    return recipe_tree(recipe) | flat_settings(recipe) | asked


def _refuse_shared_folders(
    path: Path, runs: Sequence[str], resolved: Sequence[Mapping[str, Any]], recipes: Sequence[Recipe]
) -> None:
    first: dict[str, int] = {}
    problems = []
    for index, run in enumerate(runs):
        other = first.setdefault(run, index)
        if recipes[index] == recipes[other]:
            continue
        keys = [key for key in resolved[index] if "." in key or not isinstance(resolved[index][key], dict)]
        differing = [key for key in keys if resolved[index][key] != resolved[other].get(key) and key != "recipe"]
        problems.append(
            f"{path}: experiments {other + 1} and {index + 1} differ only in {', '.join(differing)}. Expected a "
            "setting that affects the scores of a seed: these would share a run folder. Merge them into one experiment."
        )
    if problems:
        raise ConfigError("\n".join(problems))
