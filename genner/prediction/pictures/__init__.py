"""Pictures of texts with their entities, for notebooks, files and pages: HTML or SVG, nothing to be fetched, no script.

One bar per entity below its words, solid under what belongs to it and dotted where it is interrupted; bars that overlap
lie below each other, the longer one above. The label stands once, below the beginning of the bar. Nothing in a picture
is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import Any, Literal

from genner.errors import ConfigError
from genner.prediction.entities import AnnotatedText, TextEntity
from genner.prediction.pictures.layout import one_line
from genner.prediction.pictures.marks import Judged, judge
from genner.prediction.pictures.markup import legend, section
from genner.prediction.pictures.palette import Looks, looks
from genner.prediction.pictures.style import PAGE_STYLE, STYLE
from genner.prediction.pictures.vector import drawing

__all__ = ["page_end", "page_part", "page_start", "render"]

FORMATS = ("html", "svg")


def render(
    results: AnnotatedText | Iterable[AnnotatedText],
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
            spurious or wrong is marked and told in words, by the kinds of :mod:`genner.evaluation.errors_table`.
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
    several = [results] if isinstance(results, AnnotatedText) else list(results)
    judged = _judged(several, gold)
    known = _looks(labels, several, judged)
    titled = page or len(several) > 1
    if format == "svg":
        return drawing(several, judged, known, scores=scores, titled=titled)
    pairs = zip(several, judged, strict=True)
    drawn = [section(result, one, known, scores=scores, titled=titled) for result, one in pairs]
    marks = [mark for one in judged for mark in one.marks]
    types, kinds = {mark.entity.type for mark in marks}, {mark.kind for mark in marks}
    key = legend(known, types, kinds, dotted=any(mark.entity.is_discontinuous for mark in marks))
    if page:
        return "\n".join(filter(None, [_head("Entities"), key, *drawn, page_end()]))
    body = "\n".join(filter(None, [*drawn, key]))
    return f'<div class="genner">\n<style>\n{STYLE}\n</style>\n{body}\n</div>'


def page_start(title: str = "Entities", *, labels: Sequence[str] = ()) -> str:
    """The beginning of a page that is written text by text, with the legend of ``labels``."""
    key = legend(looks(labels, ()), labels, (), dotted=bool(labels))
    return "\n".join(filter(None, [_head(title), key])) + "\n"


def page_part(result: AnnotatedText, *, labels: Sequence[str] = (), scores: bool = True) -> str:
    """One text of such a page; see :func:`render`. A page is its start, its parts and its end, one behind the other."""
    judged = judge(result, result.gold)
    return section(result, judged, _looks(labels, [result], [judged]), scores=scores, titled=True) + "\n"


def page_end() -> str:
    """The end of such a page."""
    return "</main>\n</body>\n</html>\n"


def _head(title: str) -> str:
    title = escape(one_line(title))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f'<style>\n{STYLE}\n{PAGE_STYLE}</style>\n</head>\n<body>\n<main class="genner">\n<h1>{title}</h1>'
    )


def _looks(labels: Sequence[str], results: Sequence[AnnotatedText], judged: Sequence[Judged]) -> Looks:
    """Looks in the order of ``labels`` or, without any, in that of the labels of the results."""
    of_results = dict.fromkeys(label for result in results for label in result.labels)
    return looks(labels or tuple(of_results), [mark.entity.type for one in judged for mark in one.marks])


def _judged(results: Sequence[AnnotatedText], gold: Any) -> list[Judged]:
    if gold is False:
        return [judge(result, None) for result in results]
    if gold is None:
        return [judge(result, result.gold) for result in results]
    if len(results) != 1:
        raise ConfigError(
            f"gold: entities of one text for {len(results)} results. Expected one result. Set 'gold' of each result."
        )
    return [judge(results[0], list(gold))]
