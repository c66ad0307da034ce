"""Writes ``report.md``, ``report.tex``, ``report.json`` and the plots of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genner.app.prediction_files import entity_of
from genner.app.run_data import run_data
from genner.app.run_tables import run_tables
from genner.data.schema import Entity
from genner.errors import DataFormatError
from genner.evaluation.curves import learning_curves, position_curve, reliability_diagram
from genner.evaluation.tables import LATEX_HEAD, fenced, latex_table, latex_text, markdown_table, markdown_text
from genner.evaluation.terminal import ERROR_LEGEND, Style, render_sentence, visible
from genner.files import replace_file, write_json, write_text

__all__ = ["write_run_report"]

_CONTEXT = 6  # words shown on each side of an error
_WIDTH = 110
_PICTURES = {  # caption, and width in LaTeX
    "curves.png": ("Loss and F1 per epoch", r"0.9\linewidth"),
    "positions.png": ("Recall by position in the output", r"0.55\linewidth"),
    "reliability.png": ("Share of correct entities by score", r"0.5\linewidth"),
}


def write_run_report(run_folder: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    """Write the report of a run into its folder: Markdown, LaTeX, JSON and PNG, each replaced atomically.

    Args:
        run_folder: ``runs/<dataset>/<run name>``, with the predictions of its seeds.
        result: its ``result.json``.

    Returns:
        The content of ``report.json``; ``notes`` says what the numbers leave out.

    Raises:
        DataFormatError: a file of predictions or the recipe cannot be read, or a file is damaged.
    """
    try:
        data = run_data(run_folder, result)
        drawn = {
            "curves.png": learning_curves(result["seeds"]),
            "positions.png": position_curve(data["breakdown"]["position"]),
            "reliability.png": reliability_diagram((data["calibration"] or {}).get("bins", {})),
        }
        if drawn["curves.png"] is None:
            data["notes"].append("No learning curve: no seed completed an epoch.")
        data["pictures"] = [name for name, picture in drawn.items() if picture is not None]
        texts = {"report.md": _markdown(data), "report.tex": _latex(data)}
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise DataFormatError(
            f"{run_folder}: not the files of a run ({type(error).__name__}: {str(error)[:200]}). Expected result.json "
            "and predictions as training writes them. Copy the whole run folder again, or train under another name."
        ) from error
    for name, picture in drawn.items():
        _replace_picture(run_folder / name, picture)
    write_json(run_folder / "report.json", data)
    for name, text in texts.items():
        write_text(run_folder / name, text)
    return data


def _replace_picture(path: Path, picture: bytes | None) -> None:
    """Write a plot; without one, remove the plot of an earlier report, which would be out of date."""
    if picture is None:
        path.unlink(missing_ok=True)
        return
    with replace_file(path) as file:
        file.write(picture)


def _title(data: Mapping[str, Any]) -> str:
    run = data["run"]
    target = [f"{run['target']} targets"] if run["target"] != "-" else []
    return ", ".join([run["dataset"], run["formulation"], *target, run["backbone"]])


def _versions(data: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in data["run"]["versions"].items())


def _markdown(data: Mapping[str, Any]) -> str:
    blocks = [f"# {markdown_text(_title(data))}", f"Run `{visible(data['run']['name'])}`."]
    if data["run"]["command"]:
        blocks.append(fenced(visible(data["run"]["command"])))
    if data["notes"]:
        blocks.append("\n".join(f"- {markdown_text(note)}" for note in data["notes"]))
    blocks += [markdown_table(table) for table in run_tables(data)]
    blocks += [f"![{_PICTURES[name][0]}]({name})" for name in data["pictures"]]
    if any(data["examples"].values()):
        blocks += [f"## Examples of errors, seed {data['examples_seed']}", f"`{ERROR_LEGEND}`"]
        blocks += list(_markdown_examples(data["examples"]))
    return "\n\n".join([*blocks, _versions(data)]).rstrip() + "\n"


def _markdown_examples(examples: Mapping[str, Any]) -> Iterator[str]:
    for kind, rows in examples.items():
        if rows:
            drawn = "\n\n".join(f"sentence {row['sentence']}\n{_drawn(row)}" for row in rows)
            yield f"**{markdown_text(kind)}**\n\n{fenced(drawn)}"


def _drawn(row: Mapping[str, Any]) -> str:
    """The error, with bars below the words."""
    words, gold, predicted = _window(row)
    return render_sentence(words, [predicted] if predicted else [], Style(width=_WIDTH), gold=[gold] if gold else [])


def _window(row: Mapping[str, Any]) -> tuple[list[str], Entity | None, Entity | None]:
    """The words around an error, and its entities counted from there."""
    spans = [span for side in ("gold", "pred") if row[side] for span in row[side]["spans"]]
    first = max(min(start for start, _ in spans) - _CONTEXT, 0)
    last = max(end for _, end in spans) + _CONTEXT
    words = row["raw_words"][first:last]
    before, after = ["…"] * (first > 0), ["…"] * (last < len(row["raw_words"]))
    shift = len(before) - first
    gold, predicted = (row[side] and entity_of(row[side]).shifted(shift) for side in ("gold", "pred"))
    return [*before, *words, *after], gold, predicted


def _latex(data: Mapping[str, Any]) -> str:
    """A complete document, so that it compiles and its tables can be copied."""
    head = [
        r"\documentclass[10pt]{article}",
        r"\usepackage{iftex}",
        r"\ifPDFTeX\usepackage[T1]{fontenc}\fi",
        r"\usepackage[a4paper,margin=20mm]{geometry}",
        r"\usepackage{booktabs}",
        r"\usepackage{graphicx}",
        LATEX_HEAD,
        r"\begin{document}",
        r"\section*{" + latex_text(_title(data)) + "}",
    ]
    body = [latex_text(note) for note in data["notes"]]
    for table in run_tables(data):
        body.append(r"\subsection*{" + latex_text(table.title) + "}\n" + latex_table(table, floats=False))
    for name in data["pictures"]:
        body.append(r"\begin{center}\includegraphics[width=" + _PICTURES[name][1] + "]{" + name + r"}\end{center}")
    return "\n\n".join(["\n".join(head), *body, *_latex_examples(data), r"\end{document}"]) + "\n"


def _latex_examples(data: Mapping[str, Any]) -> Iterator[str]:
    """The words of an entity are underlined, gold above the prediction."""
    if any(data["examples"].values()):
        yield r"\subsection*{Examples of errors, seed " + str(data["examples_seed"]) + "}"
    for kind, rows in data["examples"].items():
        for number, row in enumerate(rows):
            words, gold, predicted = _window(row)
            sides = (("gold", gold), ("predicted", predicted))
            lines = [f"{side} {_underlined(words, entity)}" for side, entity in sides if entity]
            title = rf"\textbf{{{latex_text(kind)}}}: " if number == 0 else ""
            yield rf"\noindent {title}sentence {row['sentence']}\\" + "\n" + "\\\\\n".join(lines)


def _underlined(words: list[str], entity: Entity) -> str:
    inside = set(entity.word_indices())
    escaped = map(latex_text, words)
    marked = [rf"\underline{{{word}}}" if idx in inside else word for idx, word in enumerate(escaped)]
    return rf"\textsc{{{latex_text(entity.label)}}}: {' '.join(marked)}"
