"""A table that can be written as Markdown or as LaTeX (booktabs). Cells are plain text; both writers escape them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genner.evaluation.terminal import columns_of, visible

__all__ = ["LATEX_HEAD", "Table", "fenced", "latex_table", "latex_text", "markdown_table", "markdown_text"]

#: What a LaTeX file with our tables needs in its preamble, besides the packages booktabs and iftex. pdfTeX knows only
#: Latin letters and prints the codes of others; LuaTeX and XeTeX print the letters.
LATEX_HEAD = r"\providecommand{\nonlatin}[2]{\ifPDFTeX\texttt{U+#2}\else #1\fi}"

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"{\char34}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}",
    "[": "{[}", "]": "{]}", "*": "{*}",  # after \\, a bracket or a star would be read as its argument
    "-": "-{}",  # two would form a ligature
    "±": r"$\pm$", "Δ": r"$\Delta$", "−": r"$-$", "–": "--", "—": "---", "…": r"\ldots{}",
    "’": "'", "‘": "`", "“": "``", "”": "''", "·": r"$\cdot$", "×": r"$\times$", "°": r"$^\circ$",
}  # fmt: skip
_LAST_LATIN = 0x17F
_NO_GLYPH = frozenset("ĦħĸĿŀŉŦŧſ")  # of those, what pdfTeX's T1 encoding lacks
_MARKDOWN = re.compile(r"[\\|`*<\[\]]|(?<![^\W_])_|_(?![^\W_])")


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        title: heading or caption.
        header: one text per column.
        rows: one text per column; None is a rule between rows.
        n_left: number of leading columns aligned to the left; the others, numbers, are aligned to the right.
        note: one paragraph below the table.
        wrapped: number of a column of long texts, which LaTeX may wrap.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str] | None]
    n_left: int = 1
    note: str = ""
    wrapped: int | None = None


def markdown_text(text: str) -> str:
    """Text escaped for Markdown, including table cells."""
    return _MARKDOWN.sub(r"\\\g<0>", visible(text))


def fenced(text: str, language: str = "") -> str:
    """A Markdown code block; its fence is longer than any run of backticks in it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def latex_text(text: str) -> str:
    r"""Text escaped for LaTeX, including table cells; needs :data:`LATEX_HEAD`.

    >>> latex_text("GO_BP & 5 %")
    'GO\\_BP \\& 5 \\%'
    """
    return "".join(_latex_char(char) for char in visible(text))


def markdown_table(table: Table) -> str:
    """The table under a second-level heading, its columns aligned for readers of the source."""
    cells = [list(map(markdown_text, row)) for row in (table.header, *table.rows) if row is not None]
    header, *rows = lined_up(cells, table.n_left)
    dashes = ["-" * columns_of(cell) for cell in header]
    rule = [dash if column < table.n_left else dash[1:] + ":" for column, dash in enumerate(dashes)]
    lines = [f"| {' | '.join(row)} |" for row in (header, rule, *rows)]
    heading = [f"## {markdown_text(table.title)}", ""] if table.title else []
    note = ["", markdown_text(table.note)] if table.note else []
    return "\n".join([*heading, *lines, *note])


def lined_up(rows: Iterable[Sequence[str]], n_left: int = 1) -> list[tuple[str, ...]]:
    """Cells padded to the width of their column: the first ``n_left`` columns to the left, the others to the right."""
    columns = []
    for number, cells in enumerate(zip(*rows, strict=True)):
        width = max(3, *map(columns_of, cells))
        padding = [" " * (width - columns_of(cell)) for cell in cells]
        pairs = zip(cells, padding, strict=True) if number < n_left else zip(padding, cells, strict=True)
        columns.append(map("".join, pairs))
    return list(zip(*columns, strict=True))


def latex_table(table: Table, *, label: str = "", floats: bool = True) -> str:
    """The table as a ``table`` environment with its caption, or as a bare centred ``tabular`` if not ``floats``."""
    columns = ["l"] * table.n_left + ["r"] * (len(table.header) - table.n_left)
    if table.wrapped is not None:
        columns[table.wrapped] = r"p{0.48\linewidth}"
    lines = [r"\begin{tabular}{" + "".join(columns) + "}", r"\toprule", _latex_row(table.header), r"\midrule"]
    lines += [r"\midrule" if row is None else _latex_row(row) for row in table.rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    note = [r"\par\smallskip\parbox{\linewidth}{\footnotesize " + latex_text(table.note) + "}"] if table.note else []
    if not floats:
        return "\n".join([r"\begin{center}\small", *lines, *note, r"\end{center}"])
    caption = [r"\caption{" + latex_text(table.title) + "}"] if table.title else []
    anchor = [r"\label{" + label + "}"] if label else []
    begin = r"\begin{table*}[tp]\centering\footnotesize\setlength{\tabcolsep}{4pt}"
    return "\n".join([begin, *caption, *anchor, *lines, *note, r"\end{table*}"])


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(latex_text, cells)) + r" \\"


def _latex_char(char: str) -> str:
    if char in _LATEX:
        return _LATEX[char]
    if ord(char) <= _LAST_LATIN and (char.isalnum() or char.isascii()) and char not in _NO_GLYPH:
        return char
    return rf"\nonlatin{{{char}}}{{{ord(char):04X}}}"
