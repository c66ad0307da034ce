"""What README.md and docs/ show is there and can be run."""

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from genner.cli import COMMANDS
from genner.commands import train

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
    least = {"predict": 6, "calibrate": 3, "report": 4, "sweep": 4, "share": 2, "serve": 4, "prepare": 3}
    assert least.keys() | {"train"} == COMMANDS.keys()
    assert len(SHOWN_TRAIN) >= 9
    for name, number in least.items():
        assert len(shown_commands(f"genner {name}")) >= number, name


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "train"])
def test_commands_of_other_programs_are_understood(name: str) -> None:
    for page, shown in shown_commands(f"genner {name}"):
        try:
            import_module(f"genner.commands.{name}").parse(arguments_of(f"genner {name}", shown))
        except SystemExit:
            pytest.fail(f"{page}: {shown}")


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


TREE = (ROOT / "README.md").read_text(encoding="utf-8").split("## The tree")[1].split("```")[1]


def shown_places() -> dict[str, str]:
    """Path of every file and folder in README's tree -> what is said of it."""
    shown, parents = {}, []
    for line in TREE.strip().splitlines():
        names, about = re.fullmatch(r"(\s*\S+(?: {1,2}\S+)*?)\s{3,}(.+)|.*", line).groups()
        depth = (len(line) - len(line.lstrip())) // 2
        for name in names.split():
            parents[depth:] = [name]
            shown["".join(parents)] = about
    return shown


def test_the_tree_is_what_is_there() -> None:
    """Every folder of code with a sentence, and nothing that is gone."""
    shown = shown_places()
    for name, about in shown.items():
        assert (ROOT / name).is_dir() if name.endswith("/") else (ROOT / name).is_file(), name
        assert about, name
    tops = [ROOT / name for name in shown if name.count("/") == 1 and name.endswith("/")]
    code = [ROOT / name for name in ("genner", "data", "model", "patches")]
    folders = {path.parent for top in code for path in top.rglob("*.py")} | set(tops)
    assert {f"{folder.relative_to(ROOT)}/" for folder in folders} == {name for name in shown if name.endswith("/")}
    modules = {path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.py"), *ROOT.glob("genner/[!_]*.py")]}
    assert modules == {name for name in shown if name.endswith(".py")}
