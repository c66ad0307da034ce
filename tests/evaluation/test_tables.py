"""What stands in a cell stands there in Markdown and in LaTeX, whatever its characters."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from genner.evaluation.tables import LATEX_HEAD, Table, latex_table, latex_text, markdown_table, markdown_text
from genner.evaluation.terminal import columns_of

ODD = [
    "GO_BP",
    "50 % & more",
    "a|b",
    r"\begin{x}",
    "$x^2~y$",
    "[stiff]",
    "* star",
    "#1 <q>",
    "--",
    "Größe",
    "γ ± 1",
    "日",
]
TABLE = Table(
    "Labels_of 5 %", ["label", "F1"], [[name, "1.00"] for name in ODD] + [None, ["_all_", "-"]], note="a_b_ & c"
)


def test_markdown_lines_up_and_is_escaped() -> None:
    lines = markdown_table(TABLE).split("\n")
    assert lines[0] == "## Labels_of 5 %"
    rows = [line for line in lines if line.startswith("|")]
    assert len({columns_of(line) for line in rows}) == 1
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in rows)
    assert re.fullmatch(r"\| -+ +\| -+: \|", rows[1])
    assert r"| \_all\_ " in rows[-1]
    assert lines[-1] == r"a_b\_ & c"


def test_markdown_text() -> None:
    assert markdown_text("GO_BP *x* <b> a|b `c`") == r"GO_BP \*x\* \<b> a\|b \`c\`"
    assert markdown_text("a\nb\x1b") == r"a\\nb\\x1b"


def test_latex_text() -> None:
    assert latex_text("GO_BP 50 % & $ #{~^\\") == (
        r"GO\_BP 50 \% \& \$ \#\{\textasciitilde{}\textasciicircum{}\textbackslash{}"
    )
    assert latex_text("[a] *") == "{[}a{]} {*}"
    assert latex_text("Größe ± γ ħ") == r"Größe $\pm$ \nonlatin{γ}{03B3} \nonlatin{ħ}{0127}"


def test_latex_table() -> None:
    text = latex_table(TABLE, label="tab:x")
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{Labels\_of 5 \%}", r"\label{tab:x}", "{lr}"):
        assert part in text
    assert text.count(r" \\") == len(ODD) + 2
    assert r"\caption" not in latex_table(TABLE, floats=False)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(tmp_path: Path) -> None:
    characters = "".join(map(chr, [*range(0x20, 0x7F), *range(0xA1, 0x180), 0x3B1, 0x4E2D, 0x2014, 0x1F600]))
    table = Table(characters, ["x", "y"], [[characters[n : n + 40], "1"] for n in range(0, len(characters), 40)])
    head = r"\documentclass{article}\usepackage{booktabs}\usepackage{iftex}\usepackage[T1]{fontenc}"
    body = [latex_table(TABLE), latex_table(table, floats=False), latex_text(characters)]
    source = "\n".join([head, LATEX_HEAD, r"\begin{document}", *body, r"\end{document}"])
    (tmp_path / "t.tex").write_text(source, encoding="utf-8")
    command = ["pdflatex", "-draftmode", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
