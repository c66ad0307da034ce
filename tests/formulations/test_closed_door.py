"""What is not a formulation names none of them, and none of their keys: read from the syntax trees."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

import pytest

from genner.formulations import formulation_class, names, settings_of

ROOT = Path(__file__).parents[2]
FOLDERS = ("app", "prediction", "serving", "training", "evaluation")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / "genner" / folder).rglob("*.py"))
#: Keys that are words of the language as well, and mean something else where they stand.
COMMON = {"order", "unit", "form", "scores", "candidates", "constrained"}


def keys(name: str) -> set[str]:
    """The settings of a formulation, and what may be chosen when its model is opened."""
    return {field.name for kind in (settings_of(name), formulation_class(name).Open) for field in fields(kind)}


def names_in(tree: ast.AST) -> set[str]:
    """Attributes, arguments, variables and short strings of a source."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.arg | ast.keyword):
            found.add(node.arg)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {node.value, *node.value.split(".")}
    return found


def found_in(source: str) -> set[str]:
    """The formulations and their keys that a source names."""
    wanted = set(names()) | {key for name in names() for key in keys(name) if key not in COMMON}
    return names_in(ast.parse(source)) & wanted


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "genner")))
def test_nothing_names_a_formulation_or_its_keys(path: Path) -> None:
    assert found_in(path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    "source",
    ["recipe.settings.num_beams", "load(folder, num_beams=4)", 'settings["pointer.max_len"]', 'name == "pointer"'],
)
def test_it_would_be_found(source: str) -> None:
    assert found_in(source)


def test_sources_and_keys_are_there() -> None:
    assert len(SOURCES) > 60
    assert {"num_beams", "unit", "max_len", "form", "scores"} <= keys("pointer")
