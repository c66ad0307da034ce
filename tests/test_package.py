"""The package from outside: from any folder, installed as a whole, started fast, with every requirement named."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from genner.cli import COMMANDS
from tests.conftest import ROOT

ABOUT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HEAVY = {"torch", "transformers", "spacy", "fastNLP", "tokenizers", "matplotlib"}
USERS_OWN = ("config", "errors", "files", "data", "model", "patches", "train", "predict", "cli", "app")
TEXT = "I woke up with pain in the left knee."


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder whose modules have the names of ours and cannot be imported."""
    for name in USERS_OWN:
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('{name}.py of the user was imported')\n")
    return tmp_path


def run_python(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True
    )


def modules_after(code: str, cwd: Path) -> set[str]:
    """What is imported once the code has run, of the libraries that take long."""
    end = f"\nimport sys; print(*{HEAVY!r} & set(sys.modules), sep=' ', file=sys.stderr)"
    done = run_python("-c", code + end, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


# From any folder


def test_load_in_a_folder_with_modules_of_our_names(elsewhere: Path, trained_model: Path) -> None:
    code = f"from genner import load\nprint(len(load({str(trained_model)!r})({TEXT!r})))"
    done = run_python("-c", code, cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


@pytest.mark.parametrize(
    "program",
    [("-m", "genner"), (ROOT / "genner" / "__main__.py",), ("-c", "from genner import cli; exit(cli.main())")],
    ids=["module", "path", "console script"],
)  # fmt: skip
def test_commands_in_a_folder_with_modules_of_our_names(program: tuple, elsewhere: Path, trained_model: Path) -> None:
    done = run_python(*program, "predict", trained_model, "--text", TEXT, "--to", "jsonl", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('{"id": "1", "text": "I woke up'), "nothing but results on standard output"
    assert done.stderr == "loading torch and transformers ...\n"


def test_recipes_and_caches_are_found_from_another_folder(elsewhere: Path) -> None:
    done = run_python("-m", "genner", "train", "--check_data", "--limit", "20", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert "oracle" in done.stdout
    assert {path.stem for path in elsewhere.iterdir()} == set(USERS_OWN), "nothing is left in the user's folder"


@pytest.mark.parametrize("script", ["train.py", "predict.py"])
def test_the_scripts_at_the_root(script: str) -> None:
    done = run_python(script, "--help", cwd=ROOT)
    assert done.returncode == 0 and done.stdout.startswith(f"usage: genner {script[:-3]} ")


def test_the_module_of_before_is_a_door() -> None:
    done = run_python("-m", "data.prepare", "brat", "--help", cwd=ROOT)
    assert done.returncode == 0 and done.stdout.startswith("usage: genner prepare brat ")


# Fast


def test_the_import_costs_no_libraries(tmp_path: Path) -> None:
    assert modules_after("from genner import load", tmp_path) == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_costs_no_libraries_and_shows_two_examples(name: str, tmp_path: Path) -> None:
    code = (
        "import contextlib; from genner.cli import main\n"
        f"with contextlib.suppress(SystemExit): main([{name!r}, '--help'])"
    )
    assert modules_after(code, tmp_path) == set()
    told = run_python("-m", "genner", name, "--help", cwd=tmp_path)
    assert told.returncode == 0
    assert told.stderr in ("", f"genner {name}: starting ...\n"), "said on a machine that is busy"
    assert told.stdout.startswith(f"usage: genner {name} ")
    assert len(re.findall(rf"^genner {name}\b", told.stdout, re.MULTILINE)) >= 2


@pytest.mark.parametrize(
    "arguments", [("train", "--dataset_name", "dmo"), ("train", "optim.lrr=1"), ("predict", "gone", "--text", "x"),
                  ("predict", "gone"), ("calibrate", "gone", "--input", "x")], ids=" ".join
)  # fmt: skip
def test_wrong_usage_is_told_at_once(arguments: tuple[str, ...], tmp_path: Path) -> None:
    code = (
        "import contextlib, io; from genner.cli import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()) as told:\n"
        f"    main({list(arguments)})\n"
        "assert 'error: ' in told.getvalue() and 'loading' not in told.getvalue(), told.getvalue()"
    )
    assert modules_after(code, tmp_path) <= {"tokenizers"}


# The console command


def test_an_unknown_command_names_the_nearest(tmp_path: Path) -> None:
    done = run_python("-m", "genner", "trian", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: unknown command 'trian' (did you mean 'train'?). Expected one of train, ")
    assert done.stderr.endswith(". Run genner --help.\n")


def test_overview_and_version(tmp_path: Path) -> None:
    for arguments in ((), ("-h",), ("--help",)):
        done = run_python("-m", "genner", *arguments, cwd=tmp_path)
        assert done.returncode == 0
        assert set(re.findall(r"^  (\w+)  +\w", done.stdout, re.MULTILINE)) >= set(COMMANDS)
    assert run_python("-m", "genner", "--version", cwd=tmp_path).stdout == "genner 0.1.0\n"


# Installed as a whole


def test_every_folder_of_code_is_a_package_that_is_installed() -> None:
    settings = ABOUT["tool"]["setuptools"]
    places = {name: path for name, path in settings["package-dir"].items() if name != "genner"}
    folders = {"genner": "genner", **places}
    found = {
        ".".join([name, *file.parent.relative_to(ROOT / folder).parts])
        for name, folder in folders.items()
        for file in (ROOT / folder).rglob("*.py")
    }
    assert len(found) > 12
    assert sorted([*found, "genner.recipes"]) == sorted(settings["packages"])


def test_files_that_are_no_code_are_installed_with_it() -> None:
    settings = ABOUT["tool"]["setuptools"]
    given = {
        path
        for name, patterns in settings["package-data"].items()
        for pattern in patterns
        for path in (ROOT / settings["package-dir"].get(name, name.replace(".", "/"))).glob(pattern)
    }
    folders = [ROOT / folder for folder in settings["package-dir"].values()]
    listed = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True)
    tracked = listed.stdout.splitlines()
    if not tracked:
        pytest.skip("not a git checkout: what belongs to it is not known")
    assert {ROOT / name for name in tracked if not name.endswith(".py")} == given


# Requirements


def requirements() -> dict[str, set[str]]:
    """Name of a group -> what it asks for, as written; ``""`` is requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    base = {line for line in lines if line and not line.startswith("#")}
    return {"": base, **{name: set(asked) for name, asked in ABOUT["project"]["optional-dependencies"].items()}}


def distribution(requirement: str) -> str:
    """The name in a requirement, as the package index spells it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=\[; ]", requirement)[0]).lower()


def imported(*folders: str) -> Iterator[tuple[str, str]]:
    """(module, file) of every import of third parties."""
    ours = {"genner", "tests", "benchmarks"}
    for path in sorted(path for folder in folders for path in ROOT.glob(folder)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_extra", "importorskip")):
                names = [node.args[0].value]
            for name in {name.split(".")[0] for name in names} - ours - set(sys.stdlib_module_names):
                yield name, path.relative_to(ROOT).as_posix()


def unnamed(found: Iterator[tuple[str, str]], groups: set[str]) -> set[tuple[str, str]]:
    """What is imported without being asked for by one of the groups."""
    asked = {distribution(one) for group in groups for one in requirements()[group]}
    known = packages_distributions() | {"_jsonnet": ["jsonnet"]}
    return {(name, file) for name, file in found if not {distribution(one) for one in known.get(name, [name])} & asked}


def test_every_direct_import_is_named() -> None:
    code = [f"{folder}/**/*.py" for folder in ("genner", "data", "model", "patches")]
    found = set(imported(*code, "*.py"))
    assert len({name for name, _ in found}) > 20
    extras = {name for name in requirements() if name not in ("", "dev")}
    assert unnamed(iter(found), {"", *extras}) == set()
    of_extras = unnamed(iter(found), {""})
    assert {name for name, _ in of_extras} == {"tensorboard", "wandb", "codecarbon", "datasets", "_jsonnet"}


def test_every_import_of_tests_and_benchmarks_is_named() -> None:
    assert unnamed(imported("tests/**/*.py", "benchmarks/*.py"), set(requirements())) == set()


def test_what_a_message_tells_to_install_is_what_an_extra_asks_for() -> None:
    told = [
        node.args[1].value
        for folder in ("genner", "data", "model")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "import_extra"
    ]
    extras = {one for name, asked in requirements().items() if name not in ("", "dev") for one in asked}
    assert set(told) == extras and len(told) == 5


def test_the_console_script_and_the_spacy_factory_are_there() -> None:
    project = ABOUT["project"]
    for target in (project["scripts"]["genner"], project["entry-points"]["spacy_factories"]["genner"]):
        module, _, name = target.partition(":")
        path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
        defined = {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if hasattr(node, "name")}
        assert name in defined
