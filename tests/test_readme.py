"""What README.md and docs/ show is there and can be run."""

import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

import demo
import predict
import report
import share
import sweep
import train

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def shown_commands(program: str) -> list[tuple[str, str]]:
    """(page, command) of every line that calls a program."""
    lines = [(page.name, line.strip()) for page in PAGES for line in page.read_text(encoding="utf-8").splitlines()]
    called = re.compile(rf"(\S*/)?python {re.escape(program)}\b")
    return [(page, re.split(r"\s{3,}", line)[0]) for page, line in lines if called.match(line)]


def test_commands_are_found() -> None:
    assert len(shown_commands("train.py")) >= 9
    assert len(shown_commands("report.py")) >= 4
    assert len(shown_commands("sweep.py")) >= 4
    assert len(shown_commands("predict.py")) >= 6
    assert len(shown_commands("share.py")) >= 2
    assert len(shown_commands("demo.py")) >= 4


@pytest.mark.parametrize("program", [demo, predict, report, share, sweep])
def test_commands_of_other_programs_are_understood(program: ModuleType) -> None:
    for _, command in shown_commands(f"{program.__name__}.py"):
        program.parse(shlex.split(command)[2:])


@pytest.mark.parametrize(("page", "command"), shown_commands("train.py"))
def test_every_shown_command_is_understood(page: str, command: str) -> None:
    """The command line parses and its recipe resolves; what the commands do is tested in test_train.py."""
    _, _, *arguments = shlex.split(command)
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
