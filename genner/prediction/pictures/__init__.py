"""Pictures of texts with their entities, for notebooks, files and pages: plain HTML and a style sheet, no script.

Each entity is one bar below its words, solid under what belongs to it and dotted where it is interrupted. Bars that
overlap are stacked, the longest on top. The label stands below the beginning of the bar, and again wherever an entity
goes on after a line end. Colour alone never carries a meaning.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape
from itertools import groupby, pairwise
from typing import Any, Literal

from genner.errors import ConfigError
from genner.evaluation.errors_table import KINDS
from genner.prediction.entities import AnnotatedText, TextEntity
from genner.prediction.pictures.layout import (
    Group,
    Line,
    Piece,
    Stroke,
    by_lane,
    description,
    label_name,
    label_text,
    lines_of,
    one_line,
    spoken,
)
from genner.prediction.pictures.marks import RIGHT, SIGNS, Judged, Mark, Mistake, judge
from genner.prediction.pictures.style import DOTTED, PAGE_STYLE, STYLE, TEXTURES, Looks, looks

__all__ = ["page_end", "page_part", "page_start", "render"]

_LONG = 24  # characters of a piece that may be broken anywhere
_LONGEST_TITLE = 100  # characters of an entity in a tooltip or a list


def render(
    results: AnnotatedText | Iterable[AnnotatedText],
    *,
    gold: Collection[TextEntity] | Literal[False] | None = None,
    labels: Sequence[str] = (),
    page: bool = False,
    scores: bool = True,
) -> str:
    """Draw the entities of one text or of several.

    Args:
        results: what a recogniser returned.
        gold: true entities of the one text, to be compared with what was found; None: those that a result has in
            ``gold``, if any; False: nothing is compared. With gold, every text is drawn twice, and what is missing,
            spurious or wrong is marked and explained, by the kinds of :mod:`genner.evaluation.errors_table`.
        labels: the label set, ``recogniser.labels``: its order decides the colours, so that a label looks the same in
            every picture. By default those of the results.
        page: a whole HTML document with title and legend instead of an element for one.
        scores: whether the scores of predictions stand beside their labels.

    Returns:
        One element with its style sheet, or a document.

    Raises:
        ConfigError: gold entities for more than one text.
        DataFormatError: an entity does not lie in its text.
    """
    several = [results] if isinstance(results, AnnotatedText) else list(results)
    judged = _judged(several, gold)
    known = _looks(labels, several, judged)
    titled = page or len(several) > 1
    pairs = zip(several, judged, strict=True)
    drawn = [_section(result, one, known, scores=scores, titled=titled) for result, one in pairs]
    marks = [mark for one in judged for mark in one.marks]
    types, kinds = {mark.entity.type for mark in marks}, {mark.kind for mark in marks}
    key = _legend(known, types, kinds, dotted=any(mark.entity.is_discontinuous for mark in marks))
    if page:
        return "\n".join(filter(None, [_head("Entities"), key, *drawn, page_end()]))
    body = "\n".join(filter(None, [*drawn, key]))
    return f'<div class="genner">\n<style>\n{STYLE}\n</style>\n{body}\n</div>'


def page_start(title: str = "Entities", *, labels: Sequence[str] = ()) -> str:
    """The beginning of a page that is written text by text, with the legend of ``labels``."""
    key = _legend(looks(labels, ()), labels, (), dotted=bool(labels))
    return "\n".join(filter(None, [_head(title), key])) + "\n"


def page_part(result: AnnotatedText, *, labels: Sequence[str] = (), scores: bool = True) -> str:
    """One text of such a page; see :func:`render`. A page is its start, its parts and its end, one after the other."""
    judged = judge(result, result.gold)
    return _section(result, judged, _looks(labels, [result], [judged]), scores=scores, titled=True) + "\n"


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


def _section(result: AnnotatedText, judged: Judged, looks: Looks, *, scores: bool, titled: bool) -> str:
    """One text with its entities; gold above what was found where they are compared."""
    title = one_line(result.id)
    parts = [f'<div class="genner-result" role="group" aria-label="{escape(title or "entities")}">']
    if titled and title:
        parts.append(f'<h2 class="genner-id">{escape(title)}</h2>')
    if result.error is not None:
        parts.append(f'<p class="genner-error" role="note">Not read: {escape(one_line(result.error))}</p>')
    if judged.gold is not None:
        parts.append(f'<div class="genner-side">Gold</div>\n{_drawing(result.text, judged.gold, looks, False)}')
        parts.append('<div class="genner-side">Predicted</div>')
    if result.error is None or result.text:
        parts.append(_drawing(result.text, judged.predicted, looks, scores))
    if judged.mistakes:
        items = "\n".join(f"<li>{_explained(mistake)}</li>" for mistake in judged.mistakes)
        parts.append(f'<ul class="genner-mistakes">\n{items}\n</ul>')
    parts += [f'<p class="genner-note" role="note">{escape(one_line(note))}</p>' for note in result.notes]
    return "\n".join([*parts, "</div>"])


def _legend(looks: Looks, labels: Collection[str], kinds: Collection[str], *, dotted: bool) -> str:
    """Labels in the order of their looks, the dotted line, and the signs of judgements; empty without any."""
    rows = [
        f'<span class="genner-bar {_look(looks[label])}"></span>{escape(label_name(label))}'
        for label in looks
        if label in labels
    ]
    if dotted:
        rows.append(f'<span class="genner-bar genner-c9 genner-gap"></span>{DOTTED}')
    for kind in (RIGHT, *KINDS):
        if kind in kinds:
            about = f' title="{escape(KINDS[kind])}"' if kind in KINDS else ""
            names = "genner-tag genner-c9" + " genner-wrong" * (kind != RIGHT)
            rows.append(f'<span class="{names}">{SIGNS[kind]}</span><span{about}>{kind}</span>')
    items = "\n".join(f"<li>{row}</li>" for row in rows)
    return f'<ul class="genner-legend" aria-label="legend">\n{items}\n</ul>' if rows else ""


def _drawing(text: str, marks: Sequence[Mark], looks: Looks, scores: bool) -> str:
    lines = "".join(_line(line, looks, scores) for line in lines_of(text, marks, scores=scores))
    return f'<div class="genner-text">{lines}</div>'


def _line(line: Line, looks: Looks, scores: bool) -> str:
    """A block; runs of the other direction state theirs, as pieces are boxes, which have none."""
    parts = []
    for direction, groups in groupby(line.directed(), key=lambda pair: pair[0]):
        run = [group for _, group in groups]
        content = "".join(_group(group, looks, scores) for group in run)
        is_other = direction != line.direction and any(group.has_strokes for group in run)
        parts.append(f'<span dir="{direction}">{content}</span>' if is_other else content)
    return f'<div class="genner-line" dir="{line.direction}">{"".join(parts)}</div>'


def _group(group: Group, looks: Looks, scores: bool) -> str:
    """A grid: pieces in the first row, then a row of bars and a row of labels for every lane."""
    if not group.has_strokes:
        return escape("".join(piece.text for piece in group.pieces))
    pieces = list(group.pieces)
    behind = ""
    while not pieces[-1].strokes:  # it hangs over the end of a line only where it is outside
        kept = pieces[-1].text.rstrip()
        behind = pieces.pop().text[len(kept) :] + behind
        if kept:
            pieces.append(Piece(kept))
            break
    words = "".join(_word(piece.text) for piece in pieces)
    drawn = "".join(_lane(lane, row, looks, scores) for row, lane in enumerate(by_lane(pieces)))
    columns = f"grid-template-columns:repeat({len(pieces)},auto) minmax(0,1fr)"
    return f'<span class="genner-group" style="{columns}">{words}{drawn}</span>{escape(behind)}'


def _word(text: str) -> str:
    return f'<span class="genner-word{" genner-long" * (len(text) > _LONG)}">{escape(text)}</span>'


def _lane(strokes: Sequence[Stroke | None], number: int, looks: Looks, scores: bool) -> str:
    """Bars and labels of one lane; a bar that continues after the group ends with it, a label at the next label."""
    row, last = 2 * number + 2, len(strokes)
    parts = []
    first = 0
    for idx, stroke in enumerate(strokes):
        following = strokes[idx + 1] if idx + 1 < last else None
        if stroke is None:
            first = idx + 1
        elif stroke.ends or following is None:
            end = last + 2 if idx + 1 == last and not stroke.ends else idx + 2
            parts.append(_bar(strokes[first], stroke, f"{row}/{first + 1}/{row + 1}/{end}", looks))
            first = idx + 1
    labelled = [idx for idx, stroke in enumerate(strokes) if stroke and (stroke.is_labelled or stroke.repeats)]
    for idx, after in pairwise([*labelled, last + 1]):
        area = f"{row + 1}/{idx + 1}/{row + 2}/{after + 1}"
        mark = strokes[idx].mark
        parts.append(_again(mark, area, looks) if strokes[idx].repeats else _tag(mark, area, looks, scores))
    return "".join(parts)


def _bar(first: Stroke, last: Stroke, area: str, looks: Looks) -> str:
    names = ["genner-bar", _look(looks[first.mark.entity.type])]
    names += ["genner-gap"] * (not first.is_solid) + ["genner-starts"] * first.starts + ["genner-ends"] * last.ends
    title = escape(_shortened(description(first.mark.entity)))
    return f'<span class="{" ".join(names)}" style="grid-area:{area}" title="{title}"></span>'


def _tag(mark: Mark, area: str, looks: Looks, scores: bool) -> str:
    """The label; screen readers get the whole entity instead."""
    label = escape(label_text(mark, False))
    number = f' <span class="genner-score">{mark.entity.score:.2f}</span>' if scores else ""
    names = f"genner-tag genner-c{looks[mark.entity.type][0]}" + " genner-wrong" * (mark.kind not in ("", RIGHT))
    title = escape(spoken(mark, scores))
    about = f'role="img" aria-label="{title}" title="{title}"'
    return f'<span class="{names}" style="grid-area:{area}" {about}>{label}{number}</span>'


def _again(mark: Mark, area: str, looks: Looks) -> str:
    """The label where an entity goes on, and a line may begin; only to be seen, not to be copied or spoken."""
    names = f"genner-more genner-c{looks[mark.entity.type][0]}"
    label, title = escape(label_text(mark, False)), escape(_shortened(description(mark.entity)))
    about = f'aria-hidden="true" data-label="{label}" title="{title}"'
    return f'<span class="{names}" style="grid-area:{area}" {about}></span>'


def _explained(mistake: Mistake) -> str:
    """A mistake in words."""
    sides = (("gold", mistake.gold), ("predicted", mistake.predicted))
    parts = [f"{side} {_quoted(entity)}" for side, entity in sides if entity is not None]
    return f"<strong>{SIGNS[mistake.kind]} {mistake.kind}</strong>: {', '.join(parts)}"


def _quoted(entity: TextEntity) -> str:
    return f"<bdi>{escape(_shortened(description(entity)))}</bdi>"


def _look(look: tuple[int, int]) -> str:
    colour, texture = look
    return f"genner-c{colour}" + (f" genner-t{texture}" if TEXTURES[texture] != "plain" else "")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_TITLE else text[: _LONGEST_TITLE - 1] + "…"
