"""Results of texts, drawn at random and made by hand, for the tests of formats."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from genner.data.schema import Entity, Segment, merge_segments
from genner.prediction.results import TextResult, place_entity

LABELS = ("PER", "creative-work", "Ding", "B")
_WORD = st.text(st.sampled_from("aB0.,é日😀#|-Oאب\u200b\u0301"), min_size=1, max_size=4)
_GAP = st.sampled_from([" ", " ", " ", "  ", "\n", "\r\n", "\t", "\u2028", "\n \n"])
_EDGE = st.sampled_from(["", "", " ", "\n"])


@st.composite
def entities(draw: st.DrawFn, n_words: int) -> Entity:
    """An entity of up to three parts."""
    offsets = draw(st.lists(st.integers(0, n_words - 1), min_size=1, max_size=3, unique=True))
    parts = [(start, draw(st.integers(start + 1, min(start + 4, n_words)))) for start in offsets]
    return Entity(draw(st.sampled_from(LABELS)), merge_segments(parts))


@st.composite
def text_results(draw: st.DrawFn) -> TextResult:
    """A text of any number of words and sentences, with entities of all kinds."""
    words = draw(st.lists(_WORD, max_size=12))
    spans, text = [], draw(_EDGE)
    for number, word in enumerate(words):
        text += draw(_GAP) if number else ""
        spans.append(Segment(len(text), len(text) + len(word)))
        text += word
    text += draw(_EDGE)
    cuts = sorted(draw(st.sets(st.integers(1, len(words) - 1), max_size=3))) if len(words) > 1 else []
    sentences = [Segment(*pair) for pair in zip([0, *cuts], [*cuts, len(words)], strict=True)] if words else []
    found = draw(st.lists(entities(len(words)), max_size=5, unique=True)) if words else []
    placed = [place_entity(one, text, spans, draw(st.floats(0, 1).map(lambda x: round(x, 6)))) for one in found]
    return TextResult(text, words=tuple(spans), sentences=tuple(sentences), entities=tuple(placed))


#: Ids of any kind: such that some system refuses as names, takes for the same, or that are very long or deep.
IDS = st.one_of(
    st.text(min_size=1, max_size=8),
    st.text(st.sampled_from("aA./\\:*? ~é日😀א\0\n"), min_size=1, max_size=12),
    st.sampled_from(["CON", "nul.txt", "com1", "a", "A", "a.txt/1", "a.ann/b", "../..", "/", ".", "~$x", "ids"]),
    st.sampled_from(["日" * 300, "d/" * 3000 + "x", "x" * 5000, "a/b/c/d/e/f/g/h/i", "ids.conf/a", "__MACOSX/a"]),
    st.sampled_from(["e\u0301", "\u00e9", "ﬁ", "fi"]),
)


def several(ids: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[list[TextResult]]:
    """Some texts with ids of their own, or with those drawn, which may be equal."""
    results = st.lists(text_results(), max_size=4)
    if ids is None:
        return results.map(lambda some: [replace(result, id=f"text-{number}") for number, result in enumerate(some)])
    pairs = st.lists(st.tuples(text_results(), ids), max_size=5)
    return pairs.map(lambda some: [replace(result, id=name) for result, name in some])


def sample() -> TextResult:
    """Two sentences with everything that a format may be unable to hold."""
    text = "Sore knees and  elbows .\nAnn Moss ran home"
    spans = [Segment(*pair) for pair in [(0, 4), (5, 10), (11, 14), (16, 22), (23, 24), (25, 28), (29, 33), (34, 37)]]
    spans.append(Segment(38, 42))
    rows = [
        ("PAIN", [0, 2], 0.9),
        ("PAIN", [0, 1, 3, 4], 0.8),
        ("BODY", [1, 2], 0.7),
        ("odd type", [3, 4], 0.95),
        ("PER", [5, 7], 0.6),
        ("NAME", [5, 7], 0.5),
        ("EVENT", [4, 8], 0.4),
    ]
    placed = [place_entity(Entity.from_flat(label, flat), text, spans, score) for label, flat, score in rows]
    sentences = (Segment(0, 5), Segment(5, 9))
    return TextResult(text, "sample", tuple(spans), sentences, tuple(placed), notes=("seen in part",))


def shape(result: TextResult) -> list[tuple[str, list[list[int]]]]:
    """Types and word offsets of a result's entities, sorted."""
    return sorted((one.type, [[part.word_start, part.word_end] for part in one.segments]) for one in result)
