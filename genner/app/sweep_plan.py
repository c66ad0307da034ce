"""Sweep files (YAML, JSON or Jsonnet), and the commands of their experiments, all checked before the first starts."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from yaml import YAMLError

from genner.config import Kind, Recipe, flat_settings, recipe_tree, settings_digest
from genner.errors import ConfigError, import_extra
from genner.names import folder_name_problem
from genner.settings import leaves, parse_yaml, yaml_problem

__all__ = ["Experiment", "Plan", "plan_sweep", "read_sweep", "shown"]

_SECTIONS = ("name", "base", "grid", "list")
# Flags of train.py that are recipe keys under another name.
_SAME_KEY = {
    "dataset": "dataset_name",
    "data_root": "data.root",
    "limit": "data.limit",
    "on_collapse": "training.on_collapse",
    "seed": "seeds",
}
_NOT_A_SETTING = {
    "run_name": "the name is derived from the settings",
    "runs_dir": "it is a flag of genner sweep",
    "parallel": "it is a flag of genner sweep, where it counts experiments",
    "check_data": "a sweep always trains",
    "debug": "it is a flag of genner sweep",
}
_WHOLE = ("labels", "reported")  # mappings that are values rather than groups of keys
_KEY = re.compile(r"[A-Za-z_][^=\s]*")
_FLAGS = ("dataset_name", "formulation", "recipe", "kind")
_PLAIN = re.compile(r"[\w./+-]+(:[\w./+-]+)*")
_DIGITS = 8


@dataclass(frozen=True)
class Draft:
    """One experiment as given in the file.

    Attributes:
        settings: values by dotted key; flags of train.py that are recipe keys are under the recipe key.
        origins: the section of the file that sets each key.
        own: the keys that the experiment sets itself, outside ``base``.
    """

    settings: Mapping[str, Any]
    origins: Mapping[str, str]
    own: tuple[str, ...]


@dataclass(frozen=True)
class SweepFile:
    """A sweep file: its path, the name of the sweep, and its experiments in the order of the file."""

    path: Path
    name: str
    drafts: tuple[Draft, ...]


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


def read_sweep(path: Path) -> SweepFile:
    """Read a sweep file and expand it: all combinations of ``grid``, then the entries of ``list``.

    Raises:
        ConfigError: the file cannot be read, or has wrong sections or keys; the message names all of them.
        MissingBackendError: it is a Jsonnet file and the jsonnet package is not installed.
    """
    content = _load(path)
    reader = _Reader(str(path))
    drafts = list(reader.drafts(content))
    name = content.get("name", path.stem)
    if not isinstance(name, str):
        reader.problems.append(f"{path}: name: holds {type(name).__name__}. Expected text. Set name.")
    elif problem := folder_name_problem(name, n_added=1 + _DIGITS):  # in the name of every run
        reader.problems.append(f"{path}: name: {problem} Set name.")
    if reader.problems:
        raise ConfigError("\n".join(reader.problems))
    return SweepFile(path, name, tuple(drafts))


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


class _Reader:
    """Expands the content of a file and collects its problems."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.problems: list[str] = []

    def drafts(self, content: Mapping[str, Any]) -> Iterator[Draft]:
        self._check_sections(content)
        base = self._settings(content.get("base") or {}, "base")
        grid = self._settings(content.get("grid") or {}, "grid", wrap_seeds=False)
        axes = {key: self._axis(key, values) for key, values in grid.items()}
        entries = content.get("list") or []
        if not isinstance(entries, list):
            self._problem("list", f"holds {type(entries).__name__}", "Expected a list of mappings of settings")
            entries = []
        combinations = itertools.product(*axes.values()) if axes else ()
        alone = [("grid", dict(zip(axes, values, strict=True))) for values in combinations]
        alone += [
            (f"list entry {number}", self._settings(entry, f"list entry {number}"))
            for number, entry in enumerate(entries, 1)
        ]
        if not alone and not self.problems:
            self._problem("grid", "no experiment", "Expected values in 'grid' or entries in 'list'")
        for section, own in alone:
            origins = dict.fromkeys(base, "base") | dict.fromkeys(own, section)
            yield Draft(base | own, origins, tuple(own))

    def _check_sections(self, content: Mapping[str, Any]) -> None:
        for section in content:
            if section not in _SECTIONS:
                near = difflib.get_close_matches(str(section), _SECTIONS, n=1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                self.problems.append(
                    f"{self.where}: unknown key {section!r:.80}. Expected one of {', '.join(_SECTIONS)}{hint}. "
                    "Settings of all experiments belong under 'base'."
                )

    def _axis(self, key: str, values: Any) -> list[Any]:
        if key == "seeds":
            what = "seeds cannot be an axis, because the seeds of an experiment run in one command"
            self._problem("grid", what, "Expected them in 'base'")
        elif not isinstance(values, list) or not values:
            self._problem("grid", f"{key}: {values!r} is not a list of values", "Expected a list, such as [1, 2]")
        else:
            return values
        return [None]  # read_sweep will raise

    def _settings(self, tree: Any, section: str, *, wrap_seeds: bool = True) -> dict[str, Any]:
        """The settings of a section, by dotted key."""
        if not isinstance(tree, Mapping):
            self._problem(section, f"holds {type(tree).__name__}", "Expected a mapping of settings")
            return {}
        settings: dict[str, Any] = {}
        for written, value in leaves(tree, _WHOLE):
            key = _SAME_KEY.get(written, written)
            if written in _NOT_A_SETTING:
                expected = f"Expected no such key: {_NOT_A_SETTING[written]}"
                self._problem(section, f"{written} cannot be set", expected, "Remove it.")
            elif not _KEY.fullmatch(key):
                self._problem(section, f"{written!r} is not a key", "Expected a dotted key, such as optim.lr")
            elif key in settings:
                self._problem(section, f"{key} is set twice", "Expected one value", f"Remove {written!r}.")
            is_one_seed = wrap_seeds and key == "seeds" and not isinstance(value, list)
            value = [value] if is_one_seed else value
            settings[key] = list(map(_or_none, value)) if isinstance(value, list) else _or_none(value)
        return settings

    def _problem(self, section: str, what: str, expected: str, action: str = "Correct it there.") -> None:
        self.problems.append(f"{self.where}: {section}: {what[:200]}. {expected}. {action}")


def _load(path: Path) -> Mapping[str, Any]:
    loaders = {".yaml": parse_yaml, ".yml": parse_yaml, ".json": _json, ".jsonnet": partial(_jsonnet, path)}
    if path.suffix not in loaders:
        raise ConfigError(
            f"{path}: not a sweep file. Expected a file name that ends in {', '.join(loaders)}. Rename it."
        )
    try:
        content = loaders[path.suffix](path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}. Expected a sweep file. Name another."
        ) from None
    except (ValueError, YAMLError, RuntimeError, RecursionError) as error:
        raise ConfigError(f"{path}: {yaml_problem(error)}. Expected a sweep file. Correct it there.") from None
    if not isinstance(content, Mapping):
        raise ConfigError(
            f"{path}: holds {type(content).__name__}. Expected {', '.join(_SECTIONS)} as keys. Put settings below them."
        )
    return content


def _or_none(value: Any) -> Any:
    return None if value == "null" else value  # text in YAML, see parse_yaml


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_without_repetition)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"duplicate key {', '.join(repeated)}")
    return dict(pairs)


def _jsonnet(path: Path, text: str) -> Any:
    jsonnet = import_extra("_jsonnet", "jsonnet>=0.20", needed_for=str(path))
    folder = path.parent.resolve()

    def read_import(importing: str, name: str) -> tuple[str, bytes]:
        found = Path(importing, name).resolve()
        if not found.is_relative_to(folder):
            raise RuntimeError(f"it lies outside {folder}")
        return str(found), found.read_bytes()

    return json.loads(jsonnet.evaluate_snippet(str(path), text, import_callback=read_import))


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
    problem = f"kind: {kind!r:.80} cannot be used. Expected {', '.join(known)}. Change it."
    return [] if kind is None or kind in known else [problem]


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
