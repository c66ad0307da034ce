"""The style sheet of HTML pictures. All names begin with ``genner``; nothing outside a picture is touched."""

from __future__ import annotations

from genner.prediction.pictures.palette import COLOURS

__all__ = ["PAGE_STYLE", "STYLE"]

_BEGINNING = ".genner.genner "
_COLOURS = "\n".join(f"~.genner-c{number}{{--genner-c:{colour}}}" for number, colour in enumerate(COLOURS))

#: A group is a grid with a column for each of its pieces, as wide as the text, and one more that takes what labels need
#: beyond; so labels never overlap, and text is moved aside only where they would. Rows are of one height everywhere.
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

#: What a page of pictures has besides.
PAGE_STYLE = """\
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1.2em;background:#fff;color:#1a1a1a}
~h1{font-size:1.5em;margin:.6em 0}
~.genner-result{border-top:1px solid #8886;padding-top:.9em}
@media (prefers-color-scheme:dark){body{background:#16181d;color:#e8e8e8}}
@media print{body{margin:0;max-width:none;background:none;color:#000}~.genner-result{break-inside:avoid-page}}
""".replace("~", _BEGINNING)
