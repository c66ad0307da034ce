"""Pictures of texts with their entities, for notebooks, files and pages: HTML or SVG, nothing to be fetched, no script.

One bar per entity below its words, solid under what belongs to it and dotted where it is interrupted; bars that overlap
lie below each other, the longer one above. The label stands once, below the beginning of the bar. Nothing in a picture
is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import Any, Literal

from errors import ConfigError
from prediction.pictures.layout import one_line
from prediction.pictures.marks import Judged, judge
from prediction.pictures.markup import legend, section
from prediction.pictures.palette import looks
from prediction.pictures.style import PAGE_STYLE, STYLE
from prediction.results import TextEntity, TextResult

__all__ = ["page_end", "page_start", "render"]

FORMATS = ("html", "svg")


def render(
    results: TextResult | Iterable[TextResult],
    *,
    gold: Collection[TextEntity] | Literal[False] | None = None,
    labels: Sequence[str] = (),
    format: str = "html",  # noqa: A002  as the command line calls it
    page: bool = False,
    scores: bool = True,
) -> str:
    """Draw the entities of one text or of several.

    Args:
        results: what a recogniser returned.
        gold: true entities of the one text, to be compared with what was found; None: those that a result has in
            ``gold``, if any; False: nothing is compared. With gold, every text is drawn twice, and what is missing,
            spurious or wrong is marked and told in words, by the kinds of :mod:`evaluation.errors_table`.
        labels: the label set, ``recogniser.labels``: its order decides the colours, so that a label looks the same in
            every picture. By default those of the results.
        format: ``html`` or ``svg``.
        page: a whole HTML document with title and legend instead of an element to be put into one.
        scores: whether the scores of predictions stand beside their labels.

    Returns:
        ``html``: one element with its style sheet, or a document. ``svg``: a document.

    Raises:
        ConfigError: an unknown format, or gold entities for more than one text.
        DataFormatError: an entity does not lie in its text.
    """
    if format not in FORMATS:
        raise ConfigError(f"format: unknown format {format!r} of pictures. Expected one of {', '.join(FORMATS)}.")
    several = [results] if isinstance(results, TextResult) else list(results)
    judged = _judged(several, gold)
    marks = [mark for one in judged for mark in (*(one.gold or ()), *one.predicted)]
    labels = labels or tuple(dict.fromkeys(label for result in several for label in result.labels))
    known = looks(labels, [mark.entity.type for mark in marks])
    titled = page or len(several) > 1
    pairs = zip(several, judged, strict=True)
    drawn = [section(result, one, known, scores=scores, titled=titled) for result, one in pairs]
    parts = [legend(known, marks), *drawn] if page else [*drawn, legend(known, marks)]
    body = "\n".join(filter(None, parts))
    if page:
        return f"{page_start()}\n{body}\n{page_end()}"
    return f'<div class="genner">\n<style>\n{STYLE}\n</style>\n{body}\n</div>'


def page_start(title: str = "Entities") -> str:
    """The beginning of a page up to its first picture, for those who write a page text by text."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(one_line(title))}</title>\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f'<style>\n{STYLE}\n{PAGE_STYLE}</style>\n</head>\n<body>\n<main class="genner">\n'
        f"<h1>{escape(one_line(title))}</h1>"
    )


def page_end() -> str:
    """The end of a page that :func:`page_start` began."""
    return "</main>\n</body>\n</html>\n"


def _judged(results: Sequence[TextResult], gold: Any) -> list[Judged]:
    if gold is False:
        return [judge(result, None) for result in results]
    if gold is None:
        return [judge(result, result.gold) for result in results]
    if len(results) != 1:
        raise ConfigError(
            f"gold: entities of one text for {len(results)} results. Expected one result. Set 'gold' of each result."
        )
    return [judge(results[0], list(gold))]
