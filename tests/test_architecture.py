"""Who may import whom, how large files and functions may be: read from the syntax trees, not from this run."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("genner", "data", "model", "patches", "benchmarks")
ROOT_MODULES = sorted(path.stem for path in ROOT.glob("*.py"))
SOURCES = sorted([*ROOT.glob("*.py"), *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))])

# module prefix -> what of ours it may import, and which third parties (None: any); `data` is `genner.data` and so on
RULES: dict[str, tuple[set[str], set[str] | None]] = {
    "errors": (set(), set()),
    "files": (set(), set()),
    "data.schema": (set(), set()),
    "data.labels": ({"data.schema", "errors"}, set()),
    "data.codecs": ({"data.schema", "data.codecs", "errors"}, set()),
    "data.loaders": ({"data.schema", "data.labels", "data.loaders", "errors"}, set()),
    "data": ({"data", "errors", "files", "patches"}, None),
    "data.prepare": ({"data", "errors", "files", "patches", "evaluation.report"}, None),
    "data.prepare.__main__": ({"cli"}, None),
    "model.generation": ({"model.generation", "errors"}, {"torch"}),
    "model": ({"model", "data.schema", "data.labels", "data.alignment", "data.codecs", "errors"}, None),
    "evaluation": ({"evaluation", "data.schema"}, {"rich", "wcwidth", "numpy", "scipy", "matplotlib"}),
    "training": ({"training", "evaluation", "patches", "errors", "files", "data.schema"}, None),
    "patches": ({"patches"}, None),
    "config": ({"errors"}, None),
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "genner" and len(parts) > 1 else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module == "genner":
            found |= {f"genner.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
    return found


def is_under(name: str, prefixes: set[str]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def test_sources_are_found() -> None:
    assert len(SOURCES) > 30
    assert "train" in ROOT_MODULES


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_follow_the_rules(path: Path) -> None:
    name = module_name(path)
    rule = max((prefix for prefix in RULES if is_under(name, {prefix})), key=len, default=None)
    if rule is None:
        return
    ours_allowed, third_allowed = RULES[rule]
    for imported in imports(path):
        top = imported.split(".")[0]
        assert top not in {"data", "model", "patches"}, f"{name} imports {imported}, not genner.{imported}"
        if top == "genner":
            assert is_under(imported.removeprefix("genner."), ours_allowed), f"{name} imports {imported}"
        elif third_allowed is not None and top not in sys.stdlib_module_names:
            assert top in third_allowed, f"{name} imports {imported}"


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
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                assert caught not in ("everything", "Exception", "BaseException"), f"{path}: except {caught}"
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert "weights_only=True" in ast.unparse(node), path
        assert not imports(path) & {"dill", "shelve", "marshal"}, path
        # The error may be caught; nothing else of pickle is touched.
        text = path.read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if "import" in line and "pickle" in line]
        assert all(line.startswith("from pickle import UnpicklingError") for line in lines), path


def test_root_modules_do_not_shadow_installed_packages() -> None:
    banned = {"evaluate", "test", "tokenizers", "datasets", "transformers", "torch", "numpy", "fitlog"}
    assert not banned & set(ROOT_MODULES)
    assert not set(ROOT_MODULES) & set(sys.stdlib_module_names)
