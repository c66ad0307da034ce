"""Entities -> pointer symbols -> entities."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genner.data.codecs.pointer import BOS, EOS, PointerCodec, PointerVocab, Reject
from genner.data.schema import Entity, merge_segments
from genner.errors import ConfigError, DataFormatError

UNITS = ("word", "span", "bpe", "span_bpe")
LABELS = ("DRUG", "PART", "SIGN")
VOCAB = PointerVocab(LABELS)  # shift 5
BOUNDS = [1, 3, 4, 7, 8, 9]  # five words of 2, 1, 3, 1, 1 pieces behind one special piece


def entity(label: str, *offsets: int) -> Entity:
    return Entity.from_flat(label, list(offsets))


@st.composite
def sentences(draw: st.DrawFn) -> tuple[list[int], list[Entity]]:
    """Bounds of a sentence and any entities in it: flat, nested, crossing, discontinuous, repeated."""
    lengths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=12))
    bounds = [draw(st.integers(0, 1))]
    for length in lengths:
        bounds.append(bounds[-1] + length)
    word = st.integers(0, len(lengths) - 1)
    cover = st.sets(word, min_size=1, max_size=6)
    one = st.builds(
        lambda label, words: Entity(label, merge_segments((w, w + 1) for w in words)), st.sampled_from(LABELS), cover
    )
    return bounds, draw(st.lists(one, max_size=6))


@pytest.mark.parametrize("unit", UNITS)
@given(sentence=sentences())
@settings(max_examples=60, deadline=None)
def test_round_trip(unit: str, sentence: tuple[list[int], list[Entity]]) -> None:
    bounds, entities = sentence
    codec = PointerCodec(VOCAB, unit)
    target = codec.encode(entities, bounds)
    decoded = codec.decode(target.symbols, bounds)
    keys = [(e.start, e.end, group) for e, group in zip(decoded.entities, target.groups, strict=True)]
    assert keys == sorted(keys)
    assert sorted(decoded.entities, key=repr) == sorted(set(entities), key=repr)
    assert not decoded.rejected
    assert decoded.closed
    assert [target.symbols[start:end] for start, end in decoded.symbol_spans] == target.groups


@pytest.mark.parametrize("unit", UNITS)
@given(sentence=sentences())
@settings(max_examples=40, deadline=None)
def test_compat_keeps_order_and_repetitions(unit: str, sentence: tuple[list[int], list[Entity]]) -> None:
    bounds, entities = sentence
    codec = PointerCodec(VOCAB, unit, compat=True)
    target = codec.encode(entities, bounds)
    assert codec.decode(target.symbols, bounds).entities == entities


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("unit", UNITS)
@given(sentence=sentences(), symbols=st.lists(st.integers(0, 24), max_size=24))
@settings(max_examples=60, deadline=None)
def test_any_sequence_is_read_and_every_symbol_accounted_for(
    unit: str, compat: bool, sentence: tuple[list[int], list[Entity]], symbols: list[int]
) -> None:
    """Entities and rejects together are the sequence up to EOS, and what is an entity encodes to what was written."""
    bounds, _ = sentence
    codec = PointerCodec(VOCAB, unit, compat=compat)
    sequence = [BOS, *symbols]
    decoded = codec.decode(sequence, bounds)
    read = sequence[1 : sequence.index(EOS)] if EOS in sequence else sequence[1 : -1 if compat else None]
    written = [symbol for start, end in decoded.symbol_spans for symbol in sequence[start:end]]
    rejected = [symbol for reject in decoded.rejected for symbol in reject.key]
    assert sorted(written + rejected) == sorted(read)
    assert decoded.closed == (EOS in sequence)
    for found, (start, end) in zip(decoded.entities, decoded.symbol_spans, strict=True):
        assert codec.encode([found], bounds).groups == [sequence[start:end]]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("word", [0, 6, 8, 4, 9, 13, 2, 1]),
        ("span", [0, 6, 8, 4, 9, 11, 13, 13, 2, 1]),
        ("bpe", [0, 6, 7, 8, 4, 9, 10, 11, 13, 2, 1]),
        ("span_bpe", [0, 6, 7, 8, 4, 9, 10, 11, 9, 10, 11, 13, 13, 2, 1]),
    ],
)
def test_targets_of_a_flat_and_a_discontinuous_entity(unit: str, expected: list[int]) -> None:
    entities = [entity("DRUG", 2, 3, 4, 5), entity("SIGN", 0, 2)]
    assert PointerCodec(VOCAB, unit).encode(entities, BOUNDS).symbols == expected


def test_default_order_is_start_then_end_and_repetitions_go() -> None:
    entities = [entity("SIGN", 0, 2), entity("PART", 1, 2), entity("DRUG", 0, 1), entity("SIGN", 0, 2)]
    decoded = PointerCodec(VOCAB, "span").decode(PointerCodec(VOCAB, "span").encode(entities, BOUNDS).symbols, BOUNDS)
    assert decoded.entities == [entity("DRUG", 0, 1), entity("SIGN", 0, 2), entity("PART", 1, 2)]


def test_a_shuffled_order_is_always_the_same_and_another_one() -> None:
    sentences = [[entity("DRUG", start, start + 1), entity("SIGN", start + 1, start + 3)] for start in range(0, 3)]
    codec = PointerCodec(VOCAB, "word", order="shuffled")
    targets = [codec.encode(sentence, BOUNDS) for sentence in sentences]
    assert targets == [codec.encode(sentence[::-1], BOUNDS) for sentence in sentences]
    sorted_groups = [PointerCodec(VOCAB, "word").encode(sentence, BOUNDS).groups for sentence in sentences]
    assert [sorted(target.groups) for target in targets] == [sorted(groups) for groups in sorted_groups]
    assert [target.groups for target in targets] != sorted_groups
    for target, sentence in zip(targets, sentences, strict=True):
        assert set(codec.decode(target.symbols, BOUNDS).entities) == set(sentence)


def test_no_entities() -> None:
    codec = PointerCodec(VOCAB, "word")
    assert codec.encode([], BOUNDS).symbols == [BOS, EOS]
    for symbols in ([BOS, EOS], [BOS, EOS, EOS], [BOS], []):
        decoded = codec.decode(symbols, BOUNDS)
        assert (decoded.entities, decoded.rejected) == ([], [])


# unit, symbols between BOS and EOS, entities, rejects; pointers are 5 + piece
READINGS = {
    "label without pointers": ("word", [2, 6, 3, 4], [entity("PART", 0, 1)], [("empty", (2,)), ("empty", (4,))]),
    "pointers left open": ("word", [6, 3, 8, 9], [entity("PART", 0, 1)], [("open", (8, 9))]),
    "word: descending": ("word", [8, 6, 2], [], [("order", (8, 6, 2))]),
    "word: twice the same": ("word", [8, 8, 2], [], [("order", (8, 8, 2))]),
    "word: inner piece": ("word", [6, 7, 2], [], [("unaligned", (6, 7, 2))]),
    "word: special piece": ("word", [5, 2], [], [("unaligned", (5, 2))]),
    "word: behind the end": ("word", [14, 2], [], [("unaligned", (14, 2))]),
    "span: odd": ("span", [6, 7, 8, 2], [], [("order", (6, 7, 8, 2))]),
    "span: descending": ("span", [9, 7, 2], [], [("order", (9, 7, 2))]),
    "span: from an inner piece": ("span", [7, 8, 2], [], [("unaligned", (7, 8, 2))]),
    "span: to an inner piece": ("span", [6, 6, 2], [], [("unaligned", (6, 6, 2))]),
    "span: one word": ("span", [8, 8, 2], [entity("DRUG", 1, 2)], []),
    "span: the last word": ("span", [13, 13, 2], [entity("DRUG", 4, 5)], []),
    "bpe: word not complete": ("bpe", [6, 8, 2], [], [("unaligned", (6, 8, 2))]),
    "bpe: last word not complete": ("bpe", [9, 10, 2], [], [("unaligned", (9, 10, 2))]),
    "bpe: twice the same": ("bpe", [8, 8, 2], [], [("order", (8, 8, 2))]),
    "span_bpe: odd": ("span_bpe", [6, 7, 2], [], [("order", (6, 7, 2))]),
    "span_bpe: descending": ("span_bpe", [8, 6, 7, 2], [], [("order", (8, 6, 7, 2))]),
    "span_bpe: word not complete": ("span_bpe", [6, 7, 9, 10, 2], [], [("unaligned", (6, 7, 9, 10, 2))]),
    "bos as label": ("word", [6, 0, 8, 2], [entity("DRUG", 1, 2)], [("bos", (6, 0))]),
    "bos as label of an inner piece": ("word", [7, 0], [], [("bos", (7, 0))]),
    "bos without pointers": ("word", [0, 0], [], [("empty", (0,)), ("empty", (0,))]),
    "bos behind pointers in disorder": ("word", [8, 6, 0], [], [("order", (8, 6, 0))]),
    "repetitions stay": ("word", [6, 2, 6, 2], [entity("DRUG", 0, 1)] * 2, []),
}


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("name", READINGS)
def test_readings(name: str, compat: bool) -> None:
    unit, symbols, entities, rejects = READINGS[name]
    decoded = PointerCodec(VOCAB, unit, compat=compat).decode([BOS, *symbols, EOS, 6, 2], BOUNDS)
    assert decoded.entities == entities
    assert decoded.rejected == [Reject(*reject) for reject in rejects]


@pytest.mark.parametrize(
    ("unit", "group", "segments"),
    [
        ("span", [6, 7, 8, 8, 2], [(0, 1), (1, 2)]),
        ("span", [6, 8, 8, 11, 2], [(0, 2), (1, 3)]),
        ("span_bpe", [6, 7, 6, 7, 8, 8, 2], [(0, 1), (1, 2)]),
    ],
)
def test_segments_that_touch_or_overlap(unit: str, group: list[int], segments: list[tuple[int, int]]) -> None:
    strict = PointerCodec(VOCAB, unit).decode([BOS, *group, EOS], BOUNDS)
    assert strict.rejected == [Reject("unaligned", tuple(group))]
    codec = PointerCodec(VOCAB, unit, compat=True)
    lenient = codec.decode([BOS, *group, EOS], BOUNDS)
    assert [list(found.segments) for found in lenient.entities] == [segments]


def test_without_eos() -> None:
    symbols = [BOS, 6, 2, 8, 3]
    default = PointerCodec(VOCAB, "word").decode(symbols, BOUNDS)
    assert default.entities == [entity("DRUG", 0, 1), entity("PART", 1, 2)]
    assert not default.closed
    compat = PointerCodec(VOCAB, "word", compat=True).decode(symbols, BOUNDS)
    assert compat.entities == [entity("DRUG", 0, 1)]
    assert compat.rejected == [Reject("open", (8,))]


#: Symbols between BOS and EOS; entities, places of their symbols, repetitions and drops by structure, if they differ.
KNEE, LEG, HIP = entity("PART", 1, 2), entity("PART", 1, 3), entity("DRUG", 4, 5)
SORE_HIP = entity("SIGN", 0, 1, 4, 5)
SETTLED = {
    "nothing": ([], {"flat": ([], [], 0, {})}),
    "out of order": ([13, 2, 8, 3], {"flat": ([HIP, KNEE], [(1, 3), (3, 5)], 0, {})}),
    "repeated": ([8, 3, 13, 2, 8, 3, 8, 3], {"flat": ([KNEE, HIP], [(1, 3), (3, 5)], 2, {})}),
    "the same words with another label": (
        [8, 3, 8, 4],
        {
            "flat": ([KNEE], [(1, 3)], 0, {"overlap": 1}),
            "nested": ([KNEE, entity("SIGN", 1, 2)], [(1, 3), (3, 5)], 0, {}),
        },
    ),
    "overlap": (
        [8, 9, 3, 8, 3],
        {"flat": ([LEG], [(1, 4)], 0, {"overlap": 1}), "nested": ([LEG, KNEE], [(1, 4), (4, 6)], 0, {})},
    ),
    "gap": (
        [6, 13, 4, 8, 3],
        {
            "flat": ([KNEE], [(4, 6)], 0, {"gap": 1}),
            "nested": ([KNEE], [(4, 6)], 0, {"gap": 1}),
            "discontinuous": ([SORE_HIP, KNEE], [(1, 4), (4, 6)], 0, {}),
        },
    ),
    "what is dropped takes no words and is not repeated": (
        [6, 13, 4, 6, 13, 4, 6, 2],
        {
            "flat": ([entity("DRUG", 0, 1)], [(7, 9)], 0, {"gap": 2}),
            "nested": ([entity("DRUG", 0, 1)], [(7, 9)], 0, {"gap": 2}),
            "discontinuous": ([SORE_HIP, entity("DRUG", 0, 1)], [(1, 4), (7, 9)], 1, {}),
        },
    ),
    "no entities": (
        [3, 9, 8, 2, 7, 3, 8, 3, 13],
        {"flat": ([KNEE], [(7, 9)], 0, dict.fromkeys(("empty", "order", "unaligned", "open"), 1))},
    ),
}


@pytest.mark.parametrize("name", SETTLED)
def test_settling_under_a_structure(name: str) -> None:
    symbols, expected = SETTLED[name]
    codec = PointerCodec(VOCAB, "word")
    for structure in ("flat", "nested", "discontinuous"):
        entities, spans, repeated, dropped = expected.get(structure) or list(expected.values())[-1]
        settled = codec.settle([BOS, *symbols, EOS, 6, 2], BOUNDS, structure)
        assert (settled.entities, settled.symbol_spans) == (entities, spans), structure
        assert (settled.repeated, settled.dropped) == (repeated, Counter(dropped)), structure


@pytest.mark.parametrize("unit", UNITS)
@given(sentence=sentences())
@settings(max_examples=40, deadline=None)
def test_targets_are_settled_already(unit: str, sentence: tuple[list[int], list[Entity]]) -> None:
    """Under the loosest structure nothing is dropped; repeated, a target says nothing more."""
    bounds, entities = sentence
    codec = PointerCodec(VOCAB, unit)
    target = codec.encode(entities, bounds)
    once = codec.settle(target.symbols, bounds, "discontinuous")
    assert once.entities == codec.decode(target.symbols, bounds).entities
    assert (once.repeated, once.dropped) == (0, Counter())
    inside = target.symbols[1:-1]
    twice = codec.settle([BOS, *inside, *inside, EOS], bounds, "discontinuous")
    assert (twice.entities, twice.symbol_spans) == (once.entities, once.symbol_spans)
    assert (twice.repeated, twice.dropped) == (len(target.groups), Counter())


def test_words_without_pieces_as_the_reference_reads_them() -> None:
    """Only compat has them. The pointer to one is the pointer to the next word, so it reads as that word."""
    bounds = [1, 3, 3, 4]
    for unit in UNITS:
        codec = PointerCodec(VOCAB, unit, compat=True)
        target = codec.encode([entity("DRUG", 2, 3)], bounds)
        assert codec.decode(target.symbols, bounds).entities == [entity("DRUG", 2, 3)]
    codec = PointerCodec(VOCAB, "word", compat=True)
    assert codec.encode([entity("DRUG", 1, 3)], bounds).groups == [[8, 8, 2]]
    assert codec.decode([BOS, 8, 8, 2, EOS], bounds).rejected == [Reject("order", (8, 8, 2))]


def test_vocabulary() -> None:
    assert (BOS, EOS, VOCAB.shift, VOCAB.label_id("SIGN"), VOCAB.label_of(4)) == (0, 1, 5, 4, "SIGN")
    with pytest.raises(DataFormatError, match=r"label 'XYZ': not in the label set. Expected one of \['DRUG'"):
        PointerCodec(VOCAB, "word").encode([entity("XYZ", 0, 1)], BOUNDS)
    with pytest.raises(ConfigError, match=r"a tag twice in \['A', 'A'\]"):
        PointerVocab(("A", "A"))
    with pytest.raises(ConfigError, match=r"pointer.unit: 'piece'. Expected one of \['word', 'span'"):
        PointerCodec(VOCAB, "piece")
