"""Reads sweep files: YAML, JSON or Jsonnet with ``name``, ``base``, ``grid`` and ``list``.

Whether a recipe accepts the values is checked in `genner.app.sweep_plan`.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yaml import YAMLError

from genner.errors import ConfigError, import_extra
from genner.settings import parse_yaml

__all__ = ["Draft", "SweepFile", "read_sweep"]

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
_NAME = re.compile(r"\w[\w.-]{0,99}")


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
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        reader.problems.append(
            f"{path}: name: {name!r} cannot name a folder. Expected letters, digits, '_', '.' and '-'. Set name."
        )
    if reader.problems:
        raise ConfigError("\n".join(reader.problems))
    return SweepFile(path, name, tuple(drafts))


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
                    f"{self.where}: unknown key {section!r}. Expected one of {', '.join(_SECTIONS)}{hint}. "
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
        for written, value in _leaves(tree):
            key = _SAME_KEY.get(written, written)
            if written in _NOT_A_SETTING:
                self._problem(section, f"{written} cannot be set", f"Expected no such key: {_NOT_A_SETTING[written]}")
            elif not _KEY.fullmatch(key):
                self._problem(section, f"{written!r} is not a key", "Expected a dotted key, such as optim.lr")
            elif key in settings:
                self._problem(section, f"{key} is set twice", f"Expected one value. Remove {written!r}")
            is_one_seed = wrap_seeds and key == "seeds" and not isinstance(value, list)
            settings[key] = [value] if is_one_seed else value
        return settings

    def _problem(self, section: str, what: str, expected: str) -> None:
        self.problems.append(f"{self.where}: {section}: {what}. {expected}.")


def _leaves(tree: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping) and value and dotted not in _WHOLE:
            yield from _leaves(value, f"{dotted}.")
        else:
            yield dotted, value


def _load(path: Path) -> Mapping[str, Any]:
    loaders = {".yaml": _yaml, ".yml": _yaml, ".json": _json, ".jsonnet": _jsonnet}
    if path.suffix not in loaders:
        raise ConfigError(f"{path}: not a sweep file. Expected a file name that ends in {', '.join(loaders)}.")
    try:
        content = loaders[path.suffix](path, path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}. Expected a sweep file.") from None
    except (ValueError, YAMLError, RuntimeError, RecursionError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}. Expected a sweep file. Correct it there.") from None
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path}: holds {type(content).__name__}. Expected {', '.join(_SECTIONS)} as keys.")
    return content


def _yaml(_: Path, text: str) -> Any:
    return _with_nothing(parse_yaml(text))


def _with_nothing(value: Any) -> Any:
    """``null`` as None, wherever it stands."""
    if isinstance(value, dict):
        return {key: _with_nothing(item) for key, item in value.items()}
    if isinstance(value, list):
        return list(map(_with_nothing, value))
    return None if value == "null" else value


def _json(_: Path, text: str) -> Any:
    return json.loads(text, object_pairs_hook=_without_repetition)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"duplicate key {', '.join(repeated)}")
    return content


def _jsonnet(path: Path, text: str) -> Any:
    jsonnet = import_extra("_jsonnet", "jsonnet>=0.20", needed_for=str(path))
    folder = path.parent.resolve()

    def read_import(importing: str, name: str) -> tuple[str, bytes]:
        found = Path(importing, name).resolve()
        if not found.is_relative_to(folder):
            raise RuntimeError(f"it lies outside {folder}")
        return str(found), found.read_bytes()

    return json.loads(jsonnet.evaluate_snippet(str(path), text, import_callback=read_import))
