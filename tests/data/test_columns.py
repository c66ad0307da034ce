"""Columns of sentences: what is read from them, lazily or from a file, is what was put in."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genner.data.cache import CacheFile
from genner.data.columns import Ragged, RaggedBuilder, Sentences
from genner.data.schema import Entity, Example, merge_segments

ROWS = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5), max_size=8)
# Whatever a word can be: empty (compat), blanks, several bytes a letter, halves of surrogate pairs.
WORDS = st.lists(st.text(max_size=4) | st.sampled_from(["hip", "naïve", "𝄞", "\ud83d", "\n"]), max_size=6)


@st.composite
def examples(draw: st.DrawFn) -> Example:
    words = tuple(draw(WORDS))
    entities = []
    for _ in range(draw(st.integers(0, 3)) if words else 0):
        starts = draw(st.lists(st.integers(0, len(words) - 1), min_size=1, max_size=3))
        label = draw(st.sampled_from(["PART", "SIGN", "naïve label", "\ud83d"]))
        entities.append(Entity(label, merge_segments((start, start + 1) for start in starts)))
    return Example(words, tuple(entities), draw(st.none() | st.integers(-3, 2**40)))


@given(ROWS, st.data())
def test_ragged_rows_are_a_sequence_of_lists(rows: list[list[int]], data: st.DataObject) -> None:
    ragged = Ragged.of(rows)
    assert [ragged[idx] for idx in range(len(ragged))] == list(ragged) == rows
    assert ragged.lens.tolist() == list(map(len, rows))
    bounds = st.none() | st.integers(-10, 10)
    part = slice(data.draw(bounds), data.draw(bounds))
    assert list(ragged[part]) == rows[part]
    arrays = ragged[part].to_arrays("x")
    assert list(Ragged.from_arrays(arrays, "x")) == rows[part]
    assert len(arrays["x_values"]) == sum(map(len, rows[part]))
    builder = RaggedBuilder()
    builder.append([7])
    builder.extend(ragged[part])
    assert list(builder.build()) == [[7], *rows[part]]


@pytest.mark.parametrize("sequence", [Ragged.of([[1], [2, 3]]), Sentences.of([Example(("a",), ())] * 2)], ids=type)
def test_places_outside_are_refused_as_by_a_list(sequence: Ragged | Sentences) -> None:
    assert list(sequence[-1:]) == [sequence[-1]] == [sequence[1]]
    for idx in (2, -3):
        with pytest.raises(IndexError, match=f"row {idx} of 2"):
            sequence[idx]
    with pytest.raises(ValueError, match=r"a slice with step 2. Expected step 1"):
        sequence[::2]


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(OverflowError):
        RaggedBuilder().append([2**31])


@given(st.lists(examples(), max_size=5), st.data())
def test_sentences_come_back(rows: list[Example], data: st.DataObject) -> None:
    sentences = Sentences.of(rows)
    assert list(sentences) == rows
    part = slice(data.draw(st.integers(-6, 6)), data.draw(st.integers(-6, 6)))
    cut = sentences[part]
    assert (list(cut), len(cut)) == (rows[part], len(rows[part]))
    arrays = cut.to_arrays("train.")
    assert {name.partition(".")[0] for name in arrays} == {"train"}
    assert list(Sentences.from_arrays(arrays, cut.labels, "train.")) == rows[part]
    assert cut[:1].digest() == sentences[part][:1].digest()


@given(st.lists(examples(), max_size=3), st.lists(examples(), max_size=3))
def test_digests_are_equal_for_equal_sentences_only(left: list[Example], right: list[Example]) -> None:
    assert (Sentences.of(left).digest() == Sentences.of(right).digest()) == (left == right)


def test_digests_see_where_a_word_or_an_entity_ends() -> None:
    words = ("ab", "c", "d")
    variants = [
        Example(words, ()),
        Example(("a", "bc", "d"), ()),
        Example(words, (), 0),
        Example(words, (Entity.from_flat("A", [0, 1]), Entity.from_flat("A", [2, 3]))),
        Example(words, (Entity.from_flat("A", [0, 1, 2, 3]),)),
        Example(words, (Entity.from_flat("B", [0, 1, 2, 3]),)),
    ]
    digests = [Sentences.of([variant]).digest() for variant in variants]
    digests += [Sentences.of([Example(("ab",), ()), Example(("c", "d"), ())]).digest(), Sentences.of([]).digest()]
    assert len(set(digests)) == len(variants) + 2


def test_sentences_in_a_file_are_read_from_its_pages(tmp_path: Path) -> None:
    rows = [Example(("hip", "pain", str(number)), (Entity.from_flat("SIGN", [0, 2]),)) for number in range(50)]
    file = CacheFile(tmp_path / "x.safetensors", "0")
    file.store(Sentences.of(rows).to_arrays(), {})
    arrays, _, _ = file.load()
    sentences = Sentences.from_arrays(arrays, ["SIGN"])
    part = sentences[10:20]
    assert list(sentences) == rows and list(part) == rows[10:20]
    assert np.shares_memory(part.text.flat, arrays["text_values"])
    assert np.shares_memory(part.word_lens.flat, arrays["word_lens_values"])
