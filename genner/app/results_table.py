"""The table of many runs as in a paper, by dataset and target type, with the published scores."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from genner.app.run_tables import plain_value, published_scores
from genner.errors import DataFormatError
from genner.evaluation.spread import mean_text, score_text
from genner.evaluation.tables import LATEX_HEAD, Table, latex_table, markdown_table
from genner.files import write_json, write_text

__all__ = ["find_runs", "results_rows", "results_table", "write_results"]

_TARGETS = ("span", "bpe", "word", "span_bpe")
_MEASURES = ("pre", "rec", "f")
_SCORES = ("scores", "scores_with_collapsed")
_KEPT = ("name", "dataset", "formulation", "target", "backbone", "command")


def find_runs(folders: Iterable[Path]) -> tuple[list[Path], dict[Path, str]]:
    """The finished runs below the folders, at any depth, and what is left out, with the reason.

    Args:
        folders: each a run, the runs of a dataset, or the folder of all runs.

    Raises:
        DataFormatError: a folder does not exist or holds no run.
    """
    finished: dict[Path, None] = {}
    left_out: dict[Path, str] = {}
    for folder in folders:
        runs, others = _search(folder)
        if not runs:
            reason = "holds no run" if folder.is_dir() else "no such folder"
            raise DataFormatError(
                f"{folder}: {reason}. Expected a run folder (it holds run.json and result.json), a dataset's "
                "folder of runs, or the folder of all runs. Name what genner train printed as 'run folder'."
            )
        for run in runs:
            if (run / "result.json").is_file():
                finished[run.resolve()] = None
            else:
                left_out[run.resolve()] = "not finished, no result.json"
        left_out |= others
    return list(finished), left_out


def results_rows(runs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per run, by dataset and target type: scores without and with collapsed seeds, and published scores.

    Args:
        runs: the :func:`genner.app.run_data.run_data` of each.
    """
    rows = []
    for data in runs:
        target, split = data["run"]["target"], data["split"]
        # Published scores belong to the published backbone; they are shown whatever backbone we used.
        published = dict(zip(_MEASURES, published_scores(data["reported"], target), strict=True))
        ours = data["scores"][split].get("f")
        has_delta = ours and split == "test" and published["f"] is not None
        rows.append(
            {
                **{name: data["run"][name] for name in _KEPT},
                "split": split,
                "n_ok": data["n_ok"],
                "n_collapsed": data["n_collapsed"],
                "n_collapsed_attempts": data["n_collapsed_attempts"],
                **{key: {name: data[key][split].get(name) for name in _MEASURES} for key in _SCORES},
                "published": published,
                "delta_f": round(ours["mean"] - published["f"], 2) if has_delta else None,
                "reported": data["reported"],
                "notes": data["notes"],
            }
        )
    return sorted(rows, key=lambda row: (row["dataset"].casefold(), _target_rank(row["target"]), row["name"]))


def results_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The rows as a table; a run with collapsed seeds has a second line that includes them."""
    optional = [name for name in ("formulation", "backbone", "name") if _tells_apart(rows, name)]
    header = ["dataset", "target", *("run" if name == "name" else name for name in optional)]
    header += ["seeds", "n ok", "n collapsed", "P", "R", "F1", "publ. P", "publ. R", "publ. F1", "Δ F1"]
    lines: list[Sequence[str] | None] = []
    for number, row in enumerate(rows):
        if number and row["dataset"] != rows[number - 1]["dataset"]:
            lines.append(None)
        lines += _lines(row, [row["dataset"], row["target"], *(row[name] for name in optional)])
    return Table("Results", header, lines, n_left=3 + len(optional), note=_note(rows))


def write_results(rows: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write ``results.md``, ``results.tex`` (to be included with ``\\input``) and ``results.json`` into a folder."""
    table = results_table(rows)
    needs = r"% Needs \usepackage{booktabs}, \usepackage{iftex} and, with pdfTeX, \usepackage[T1]{fontenc}."
    write_text(folder / "results.md", markdown_table(table) + "\n")
    write_text(folder / "results.tex", "\n".join([needs, LATEX_HEAD, latex_table(table, label="tab:results")]) + "\n")
    write_json(folder / "results.json", {"runs": list(rows)})


def _search(folder: Path) -> tuple[list[Path], dict[Path, str]]:
    """The runs at and below a folder, and the folders that look like runs but are none, with the reason."""
    runs: list[Path] = []
    others: dict[Path, str] = {}
    for where, below, files in os.walk(folder):  # follows no symbolic links, such as ``best``
        path = Path(where)
        below[:] = sorted(name for name in below if not name.startswith("."))
        if "run.json" in files:
            runs.append(path)
        elif "result.json" in files or any(name.startswith("seed-") for name in below):
            others[path] = "no run.json: made by an earlier version, or not copied whole"
        elif "model.json" not in files:
            continue
        below.clear()  # seeds and models
    return runs, others


def _target_rank(target: str) -> int:
    return _TARGETS.index(target) if target in _TARGETS else len(_TARGETS)


def _tells_apart(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether a column is needed: backbone or formulation if they differ, the run's name if nothing else differs."""
    if name != "name":
        return len({row[name] for row in rows}) > 1
    return len({(row["dataset"], row["target"], row["formulation"], row["backbone"]) for row in rows}) < len(rows)


def _lines(row: Mapping[str, Any], names: Sequence[str]) -> Iterator[list[str]]:
    published = [score_text(row["published"][name]) for name in _MEASURES]
    delta = "-" if row["delta_f"] is None else f"{row['delta_f']:+.2f}"
    n_more = row["n_collapsed_attempts"]
    more = f" (+{n_more} attempt{'s' * (n_more != 1)})" if n_more else ""
    counts = [str(row["n_ok"]), f"{row['n_collapsed']}{more}"]
    yield [*names, "ok", *counts, *map(mean_text, row["scores"].values()), *published, delta]
    if row["n_collapsed"]:
        scores = map(mean_text, row["scores_with_collapsed"].values())
        yield [*[""] * len(names), "ok and collapsed", *counts, *scores, *["-"] * 4]


def _note(rows: Sequence[Mapping[str, Any]]) -> str:
    parts = ["Micro precision, recall and F1 in percent, mean ± sample standard deviation over seeds."]
    n_collapsed = sum(row["n_collapsed"] for row in rows)
    lines = "Collapsed seeds count only in the second line of a run."
    parts.append(lines if n_collapsed else "No seed collapsed.")
    if any(row["n_collapsed_attempts"] for row in rows):
        parts.append("Attempts: trainings that collapsed and were restarted.")
    if any(row["split"] != "test" for row in rows):
        names = ", ".join(f"{row['dataset']}/{row['name']} ({row['split']})" for row in rows if row["split"] != "test")
        parts.append(f"Not on test: {names}.")
    backbones = {row["backbone"] for row in rows}
    if len(backbones) == 1:
        parts.append(f"Backbone: {backbones.pop()}.")
    if any(row["published"]["f"] is not None for row in rows):
        parts.append("Published scores are for the published backbone, as reported in the recipe.")
    others = {}
    for row in rows:
        rest = {key: value for key, value in row["reported"].items() if key not in _TARGETS}
        others |= {f"{row['dataset']} {key.replace('_', ' ')}": plain_value(value) for key, value in rest.items()}
    parts += [f"Also reported: {name} {value}." for name, value in others.items()]
    return " ".join(parts)
