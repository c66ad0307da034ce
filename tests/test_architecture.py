"""Who may import whom, how large files and functions may be: read from the syntax trees, not from this run."""

import ast
import sys
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("genner", "data", "model", "patches", "benchmarks")
ROOT_MODULES = sorted(path.stem for path in ROOT.glob("*.py"))
SOURCES = sorted([*ROOT.glob("*.py"), *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))])

# A name stands for that module alone, `x.*` for the package x and all that is in it; `-x.*` takes it away again.
# `data` is `genner.data` and so on, `genner` the package itself.
EVERYTHING = {"*"}
DATA = {"data.*", "-data.prepare.*"}
# What is not a formulation knows none of them.
FORMULATIONS = {"formulations", "formulations.base", "formulations.opening", "model.folder"}

# module prefix -> what of ours it may import, and which third parties (None: any)
RULES: dict[str, tuple[set[str], set[str] | None]] = {
    "errors": (set(), set()),
    "files": (set(), set()),
    "names": (set(), set()),
    "data.schema": (set(), set()),
    "data.labels": ({"data.schema", "errors"}, set()),
    "data.codecs": ({"data.schema", "data.codecs.*", "errors"}, set()),
    "data.loaders": (
        {"data", "data.schema", "data.schemes", "data.labels", "data.loaders.*", "data.tally", "data.utf8", "errors"}
        | {"data.lines", "data.records", "data.shapes"},
        set(),
    ),
    "data": (DATA | {"errors", "files", "patches"}, None),
    "data.prepare": ({"data.*", "errors", "files", "patches"}, None),
    "model.generation": ({"model.generation.*", "errors"}, {"torch"}),
    "model": ({"model.*", "data.schema", "data.labels", "data.alignment", "data.codecs.*", "errors"}, None),
    "evaluation": ({"evaluation.*", "data.schema"}, {"rich", "wcwidth", "numpy", "scipy", "matplotlib"}),
    "training": ({"training.*", "evaluation.*", "patches.*", "errors", "files", "data.schema"}, None),
    "patches": ({"patches.*"}, None),
    "settings": (set(), {"yaml", "pydantic"}),
    "config": ({"errors", "formulations", "names", "settings"}, {"yaml"}),
    "formulations": (
        DATA | {"formulations.*", "model.*", "training.*", "patches", "errors", "files", "config", "settings"},
        None,
    ),
    "prediction": (
        DATA
        | FORMULATIONS
        | {"prediction.*", "evaluation.*", "training.*", "patches", "errors", "files", "names", "config"}
        | {"model.hub"},
        None,
    ),
    "app": (
        DATA
        | FORMULATIONS
        | {"app.*", "prediction.*", "evaluation.*", "training.*", "patches", "errors", "files", "config", "settings"}
        | {"names"},
        None,
    ),
    "serving": (DATA | {"serving.*", "prediction.*", "evaluation.*", "errors", "files"}, None),
    "commands": (EVERYTHING, None),
    "cli": (EVERYTHING, None),
    "data.prepare.__main__": ({"cli"}, set()),
    "genner": ({"prediction.recogniser"}, set()),
    "__main__": ({"cli"}, set()),
    "train": ({"cli"}, set()),
    "predict": ({"cli"}, set()),
    "benchmarks": (EVERYTHING, None),
}


def module_name(path: Path) -> str:
    """The name that a file is imported by."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = ("genner", *parts) if parts[0] in ("data", "model", "patches") else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def short_name(name: str) -> str:
    """The name as :data:`RULES` have it."""
    return name.removeprefix("genner.")


def imports(source: str, modules: Collection[str]) -> set[str]:
    """What a source imports: at its top, inside functions, for the type checker only.

    ``from package import name`` is an import of the package, and of the module if the name is that of one.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            found |= {node.module, *({f"{node.module}.{alias.name}" for alias in node.names} & set(modules))}
    return found


def find_circle(sources: Mapping[str, str]) -> list[str]:
    """Modules that import each other in a circle, the first one again at the end; none if there is no circle."""
    graph = {name: imports(source, sources) & sources.keys() - {name} for name, source in sources.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def rule_of(name: str) -> tuple[set[str], set[str] | None]:
    prefixes = [prefix for prefix in RULES if name == prefix or name.startswith(prefix + ".")]
    assert prefixes, f"{name} has no rule: say in RULES what it may import"
    return RULES[max(prefixes, key=len)]


def is_allowed(name: str, rule: set[str]) -> bool:
    refused = {pattern[1:] for pattern in rule if pattern.startswith("-")}
    return any(_matches(name, pattern) for pattern in rule) and not any(_matches(name, one) for one in refused)


def _matches(name: str, pattern: str) -> bool:
    return name == pattern.removesuffix(".*") or fnmatchcase(name, pattern)


TEXTS = {module_name(path): path.read_text(encoding="utf-8") for path in SOURCES}


def test_sources_are_found() -> None:
    assert len(SOURCES) > 30
    assert "train" in ROOT_MODULES


@pytest.mark.parametrize("name", TEXTS)
def test_imports_follow_the_rules(name: str) -> None:
    ours_allowed, third_allowed = rule_of(short_name(name))
    for imported in imports(TEXTS[name], TEXTS):
        top = imported.split(".")[0]
        assert top not in {"data", "model", "patches"}, f"{name} imports {imported}, not genner.{imported}"
        if top == "genner":
            assert is_allowed(short_name(imported), ours_allowed), f"{name} imports {imported}"
        elif third_allowed is not None and top not in sys.stdlib_module_names:
            assert top in third_allowed, f"{name} imports {imported}"


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("data.splits", "data.schema", True),
        ("data.splits", "data.prepare.standoff", False),
        ("data.prepare.standoff", "data.prepare.request", True),
        ("prediction.reading.files", "data.tally", True),
        ("prediction.reading.files", "data.prepare", False),
        ("app.seed", "formulations", True),
        ("app.seed", "formulations.base", True),
        ("app.seed", "formulations.pointer.task", False),
        ("config", "formulations.pointer.settings", False),
        ("config", "formulations.pointer.task", False),
        ("evaluation.report", "training.results", False),
        ("training.trainer", "genner", False),
        ("commands.predict", "genner", True),
    ],
)
def test_the_rules_mean_what_they_say(importer: str, imported: str, allowed: bool) -> None:
    assert is_allowed(imported, rule_of(importer)[0]) is allowed


def test_a_module_needs_a_rule() -> None:
    with pytest.raises(AssertionError, match=r"plugins.one has no rule"):
        rule_of("plugins.one")


def test_there_are_no_circles_of_imports() -> None:
    assert not find_circle(TEXTS)


@pytest.mark.parametrize(
    "back",
    [
        "import p.a",
        "from p.a import name",
        "from p import a",
        "def f():\n    from p.a import name",
        "if TYPE_CHECKING:\n    from p.a import Name",
        "from p import name",  # p itself imports a
    ],
)
def test_circles_are_found(back: str) -> None:
    sources = {"p": "from p.a import name", "p.a": "import p.b", "p.b": "from p.c import name", "p.c": ""}
    assert not find_circle(sources)
    circle = find_circle(sources | {"p.c": back})
    assert circle[0] == circle[-1] and {"p.a", "p.b", "p.c"} <= set(circle) <= set(sources)


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= (150 if path.name == "train.py" else 500)
    tree = ast.parse(text)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for function in functions:
        assert function.end_lineno - function.lineno < 80, function.name
        for inner in ast.walk(function):
            if inner is not function and isinstance(inner, ast.FunctionDef):
                assert inner.end_lineno - inner.lineno <= 5, f"{function.name}.{inner.name}"
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "__all__" for target in node.targets):
            assert len(node.value.elts) <= 7


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_public_names_are_documented(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if tree.body:
        assert ast.get_docstring(tree), "the module has no docstring"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node) or _is_plain_dataclass(node), node.name


def _is_plain_dataclass(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(item) for item in node.decorator_list)


def test_nothing_loads_pickles_or_hides_errors() -> None:
    for path, text in TEXTS.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                assert caught not in ("everything", "Exception", "BaseException"), f"{path}: except {caught}"
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert "weights_only=True" in ast.unparse(node), path
        assert not imports(text, ()) & {"dill", "shelve", "marshal"}, path
        # The error may be caught; nothing else of pickle is touched.
        lines = [line for line in text.splitlines() if "import" in line and "pickle" in line]
        assert all(line.startswith("from pickle import UnpicklingError") for line in lines), path


def test_root_modules_do_not_shadow_installed_packages() -> None:
    banned = {"evaluate", "test", "tokenizers", "datasets", "transformers", "torch", "numpy", "fitlog"}
    assert not banned & set(ROOT_MODULES)
    assert not set(ROOT_MODULES) & set(sys.stdlib_module_names)
