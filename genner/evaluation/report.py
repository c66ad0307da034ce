"""Plain-text tables: the scores of a split, and what a split contains before training."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from genner.evaluation.tables import lined_up
from genner.evaluation.terminal import columns_of, visible

__all__ = ["REASONS", "score_table", "split_table"]

_SCORES = (("P", "pre"), ("R", "rec"), ("F1", "f"), ("strict F1", "strict_f"), ("exact", "em"))
_COUNTS = (("gold", "support"), ("predicted", "predicted"))
_STRUCTURE = ("flat", "nested", "discontinuous", "overlapping")
_SHARES = {"nested": "nested", "discontinuous": "discontinuous", "crossing": "crossing", "same words": "same_span"}
#: What is wrong with a group of symbols that is no entity.
REASONS = {
    "empty": "label without words",
    "order": "words out of order",
    "open": "no label at the end",
    "unaligned": "not at word boundaries",
    "bos": "no valid label",
    "gap": "a gap where there is none",
    "overlap": "words of another entity",
}
_WIDTH = 88
_LONGEST_NAME = 28


def score_table(scores: Mapping[str, Any], title: str = "") -> str:
    """The scores of one split as a table.

    Args:
        scores: what :meth:`genner.evaluation.span_f1.F1Report.to_dict` gives.
        title: header of the first column, such as the split.

    Returns:
        Lines for all entities, every label and every subset: precision, recall and F1 (reference counting), strict F1,
        sentences without errors, gold and predicted entities. A last line counts what was malformed.
    """
    rows = [_score_row("all entities", scores), None]
    rows += [_score_row("  " + visible(label), row) for label, row in scores["per_label"].items()]
    structure = [name for name in _STRUCTURE if name in scores["subsets"]]
    others = [name for name in scores["subsets"] if name not in _STRUCTURE]
    for group in (structure, others):
        rows += [None] * bool(group) + [_score_row("  " + visible(name), scores["subsets"][name]) for name in group]
    header = [visible(title), *(name for name, _ in (*_SCORES, *_COUNTS))]
    return "\n".join([*_grid(header, rows), *_malformed(scores)])


def split_table(
    split: str,
    statistics: Mapping[str, Any],
    *,
    lengths: Mapping[str, int] | None = None,
    oracle_f: float | None = None,
    changes: Iterable[str] = (),
) -> str:
    """What one split contains, what was repaired or dropped and why, and the best score its targets allow.

    Args:
        split: its name.
        statistics: what ``SplitStatistics.to_dict`` gives.
        lengths: maximum lengths that the model sees, such as ``{"source pieces": 48, "target symbols": 30}``.
        oracle_f: F1 in percent of the decoded targets against gold.
        changes: one text per kind of repair or loss.
    """
    n_entities, n_sentences = statistics["entities"], statistics["sentences"]
    n_without = statistics["without_entities"]
    rows = [("sentences", n_sentences, f"{n_without:,} without entities ({_percent(n_without, n_sentences)})")]
    if statistics["documents"] is not None:
        rows.append(("documents", statistics["documents"], ""))
    if statistics["repeated"]:
        rows.append(("repeated", statistics["repeated"], "sentences that are also in an earlier split"))
    rows.append(("words", statistics["words"], f"longest sentence {statistics['longest_sentence']:,}"))
    rows.append(("entities", n_entities, f"most segments {statistics['most_segments']:,}"))
    rows += [("  " + name, statistics[key], _percent(statistics[key], n_entities)) for name, key in _SHARES.items()]
    rows += [(f"longest, {name}", value, "") for name, value in (lengths or {}).items()]
    lines = [visible(split), "─" * _WIDTH]
    lines += [f"{name:<{_LONGEST_NAME}}{value:>12,}   {note}".rstrip() for name, value, note in rows]
    if oracle_f is not None:
        lost = "   the targets cannot express every gold entity" * (oracle_f != 100)
        lines.append(f"{'oracle F1':<{_LONGEST_NAME}}{oracle_f:>12.2f}{lost}")
    labels = [
        f"{visible(label)} {count:,}" + " (not in train)" * (label in statistics["unseen_labels"])
        for label, count in statistics["labels"].items()
    ]
    lines += _listing("labels", [", ".join(labels) or "none"])
    lines += _listing("repaired or dropped", [visible(change) for change in changes] or ["nothing"])
    return "\n".join(lines)


def _score_row(name: str, scores: Mapping[str, Any]) -> list[str]:
    """Cells of one line; a group without gold entities and predictions shows no scores."""
    if not scores["support"] and not scores["predicted"]:
        return [name, *["-"] * len(_SCORES), "0", "0"]
    return [name, *(f"{scores[key]:.2f}" for _, key in _SCORES), *(f"{scores[key]:,}" for _, key in _COUNTS)]


def _malformed(scores: Mapping[str, Any]) -> list[str]:
    """What only the strict counting penalises."""
    parts = [f"{scores['counts']['duplicates']:,} repeated"] if scores["counts"]["duplicates"] else []
    parts += [f"{count:,} {REASONS.get(reason, reason)}" for reason, count in scores["rejected"].items()]
    return textwrap.wrap(f"malformed predictions: {', '.join(parts)}", _WIDTH, subsequent_indent="  ") if parts else []


def _grid(header: Sequence[str], rows: Sequence[Sequence[str] | None]) -> list[str]:
    """Lines of a table: the first column to the left, the others to the right; ``None`` is an empty line."""
    cells = lined_up([[f"{header[0]:<{_LONGEST_NAME}}", *header[1:]], *filter(None, rows)])
    first, *others = ["  ".join(row) for row in cells]
    lines = iter(others)
    return [first, "─" * columns_of(first), *("" if row is None else next(lines) for row in rows)]


def _listing(name: str, items: Iterable[str]) -> list[str]:
    """A name with wrapped texts beside it."""
    lines = []
    for number, item in enumerate(items):
        lead = f"{name if number == 0 else '':<{_LONGEST_NAME}}"
        lines += textwrap.wrap(
            item, _WIDTH, initial_indent=lead, subsequent_indent=" " * (_LONGEST_NAME + 2), break_on_hyphens=False
        )
    return lines


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "-"
