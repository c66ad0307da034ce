"""How pictures look: the colour and stroke of every label, and the style sheet.

There are ten colours, then the same colours with other strokes. All names of the style sheet begin with ``genner``;
nothing outside a picture is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from zlib import crc32

__all__ = ["COLOURS", "DOTTED", "PAGE_STYLE", "STYLE", "TEXTURES", "Looks", "looks"]

#: Label -> the numbers of its colour and its texture.
Looks = Mapping[str, tuple[int, int]]

#: Equally light, so that white text is readable on them (4.5 : 1, WCAG AA) and they stand out from white as well as
#: from the backgrounds of dark pages (3 : 1). No colour carries a meaning of its own: the label is always shown.
COLOURS = (
    "#0078cd", "#d14600", "#00855d", "#b8508c", "#8e7200", "#8658d5", "#048199", "#db314d", "#4a8421", "#6c7683",
)  # fmt: skip
#: Strokes: one line, two lines, with grey stripes, two thin lines. None has holes: those are interruptions.
TEXTURES = ("plain", "double", "striped", "rail")
#: What a line with holes means.
DOTTED = "gap: words that do not belong to the entity"

_BEGINNING = ".genner.genner "
_COLOURS = "\n".join(f"~.genner-c{number}{{--genner-c:{colour}}}" for number, colour in enumerate(COLOURS))

#: A group is a grid with a column for each of its pieces, as wide as the text, and one more for what labels need beyond
#: it; so labels never overlap, and text moves aside only where they would. All rows have the same height.
#: Selectors (``~`` stands for their beginning) outweigh what pages and notebooks say about everything inside them.
STYLE = (
    """\
.genner.genner{line-height:1.5;print-color-adjust:exact;-webkit-print-color-adjust:exact;color:inherit;font-size:inherit}
~*{color:inherit;font-size:inherit;margin:0;padding:0}
~.genner-result{margin:0 0 1.25em}
~.genner-id{font:inherit;font-size:.85em;font-weight:600;letter-spacing:0;margin:0 0 .35em;opacity:.75;\
overflow-wrap:anywhere}
~.genner-side{font-size:.75em;font-weight:600;letter-spacing:.04em;text-transform:uppercase;opacity:.75;margin-top:.6em}
~.genner-text{white-space:pre-wrap;overflow-wrap:anywhere;tab-size:4;max-width:75em}
~.genner-line{unicode-bidi:isolate;text-align:start;min-height:1.5em}
~.genner-group{display:inline-grid;grid-auto-rows:5px 1.15em;grid-template-rows:auto;vertical-align:baseline;\
align-items:baseline;max-width:100%;white-space:pre}
~.genner-long{white-space:pre-wrap}
~.genner-word{grid-row:1;min-width:0}
~.genner-bar{display:block;align-self:start;height:0;border-top:4px solid var(--genner-c)}
~.genner-t1{border-top-style:double;border-top-width:5px}
~.genner-t2{border-image:repeating-linear-gradient(115deg,var(--genner-c) 0 4px,#888 4px 7px) 4}
~.genner-t3{border-top-width:2px;height:1px;border-bottom:1px solid var(--genner-c)}
~.genner-starts{margin-inline-start:1px;border-start-start-radius:2px;border-end-start-radius:2px}
~.genner-ends{margin-inline-end:1px;border-start-end-radius:2px;border-end-end-radius:2px}
~.genner-gap{border:0;border-top:3px dotted var(--genner-c);border-radius:0;margin:0;height:0}
~.genner-tag{justify-self:start;align-self:start;max-width:min(100%,24em);box-sizing:border-box;margin:1px 5px 0 1px;\
padding:0 .35em;border:1px solid var(--genner-c);border-radius:3px;background:var(--genner-c);color:#fff;\
font:600 .68em/1.3 system-ui,sans-serif;letter-spacing:0;white-space:nowrap;overflow:hidden;text-overflow:ellipsis;\
user-select:none;-webkit-user-select:none}
~.genner-more{justify-self:start;align-self:start;max-width:min(100%,24em);margin:1px 5px 0 1px;padding:0 .35em;\
box-sizing:border-box;border:1px dotted var(--genner-c);border-radius:3px;font:600 .68em/1.3 system-ui,sans-serif;\
letter-spacing:0;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
~.genner-more::before{content:"… " attr(data-label)}
~.genner-score{font-weight:400}
~.genner-wrong{background:#fff;color:var(--genner-c);border-style:dashed}
~.genner-legend{list-style:none;display:flex;flex-wrap:wrap;gap:.3em 1em;margin:.4em 0;padding:0;font-size:.85em}
~.genner-legend li{display:inline-flex;align-items:center;gap:.45em;margin:0;padding:0;overflow-wrap:anywhere}
~.genner-legend .genner-bar{width:1.8em;flex:none;align-self:center}
~.genner-legend .genner-tag{margin:0;font-size:.8em}
~.genner-mistakes{margin:.5em 0;padding:0;padding-inline-start:1.4em;font-size:.9em;list-style:disc}
~.genner-mistakes li{margin:.1em 0;padding:0}
~.genner-mistakes strong{font:inherit;font-weight:600;letter-spacing:0}
~.genner-note,~.genner-error{font-size:.9em;margin:.4em 0;padding:.3em .7em;border-inline-start:3px solid #8e7200;\
overflow-wrap:anywhere}
~.genner-error{border-color:#db314d}
@media print{~.genner-tag{background:none;color:#000}}
"""
    + _COLOURS
).replace("~", _BEGINNING)

#: For a page of pictures, in addition.
PAGE_STYLE = """\
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1.2em;background:#fff;color:#1a1a1a}
~h1{font-size:1.5em;margin:.6em 0}
~.genner-result{border-top:1px solid #8886;padding-top:.9em}
@media (prefers-color-scheme:dark){body{background:#16181d;color:#e8e8e8}}
@media print{body{margin:0;max-width:none;background:none;color:#000}~.genner-result{break-inside:avoid-page}}
""".replace("~", _BEGINNING)


def looks(labels: Sequence[str], seen: Iterable[str]) -> Looks:
    """The look of every label: a number of :data:`COLOURS` and one of :data:`TEXTURES`.

    Args:
        labels: the label set; its order decides, so that a label looks the same in every picture.
        seen: labels that need a look. One that is not in ``labels`` gets a look by its name, or the next free one.

    Returns:
        The looks, ``labels`` first. Beyond 40 labels looks repeat.
    """
    n_looks = len(COLOURS) * len(TEXTURES)
    numbers = {label: number % n_looks for number, label in enumerate(dict.fromkeys(labels))}
    for label in sorted(set(seen) - set(numbers)):
        first, taken = crc32(label.encode("utf-8", "replace")) % len(COLOURS), set(numbers.values())
        wanted = [n - n % len(COLOURS) + (first + n) % len(COLOURS) for n in range(n_looks)]
        numbers[label] = next((number for number in wanted if number not in taken), wanted[0])
    return {label: (number % len(COLOURS), number // len(COLOURS)) for label, number in numbers.items()}
