"""What README.md and docs/ show is there and can be run."""

import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from genner.commands import predict, prepare, report, serve, share, sweep, train

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TRAIN = ("train.py", "genner train")


def shown_commands(program: str) -> list[tuple[str, str]]:
    """(page, command) of every line that calls a program."""
    lines = [(page.name, line.strip()) for page in PAGES for line in page.read_text(encoding="utf-8").splitlines()]
    called = re.compile(rf"((\S*/)?python )?{re.escape(program)} ")
    return [(page, re.split(r"\s{3,}", line)[0]) for page, line in lines if called.match(f"{line} ")]


def arguments_of(program: str, command: str) -> list[str]:
    """What follows the program in a command."""
    return shlex.split(command.partition(program)[2])


SHOWN_TRAIN = [(page, arguments_of(name, shown)) for name in TRAIN for page, shown in shown_commands(name)]


def test_commands_are_found() -> None:
    assert len(SHOWN_TRAIN) >= 9
    assert len(shown_commands("predict.py")) + len(shown_commands("genner predict")) >= 6
    for name, least in {"report": 4, "sweep": 4, "share": 2, "serve": 4, "prepare": 3}.items():
        assert len(shown_commands(f"genner {name}")) >= least, name


@pytest.mark.parametrize("command", [predict, prepare, report, serve, share, sweep])
def test_commands_of_other_programs_are_understood(command: ModuleType) -> None:
    name = command.__name__.rpartition(".")[2]
    for program in (f"{name}.py", f"genner {name}"):
        for _, shown in shown_commands(program):
            command.parse(arguments_of(program, shown))


@pytest.mark.parametrize(("page", "arguments"), SHOWN_TRAIN)
def test_every_shown_command_is_understood(page: str, arguments: list[str]) -> None:
    """The command line parses and its recipe resolves; what the commands do is tested in test_train.py."""
    recipe = train.recipe_of(train.parse(arguments))
    assert recipe.dataset


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in PAGES:
        for target in re.findall(r"\bmake ([a-z-]+)", page.read_text(encoding="utf-8")):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), (page.name, target)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_tree_names_what_is_there() -> None:
    tree = (ROOT / "README.md").read_text(encoding="utf-8").split("## The tree")[1]
    for name in re.findall(r"\b([a-z]+(?:\.py|/))", tree.split("```")[1]):
        assert (ROOT / name).exists() or any(ROOT.glob(f"*/{name}")), name
