"""What is no text, and no list of words, is refused; nothing is spelled into characters."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy

from genner.data.schema import Segment
from genner.errors import InputTypeError, NerError
from genner.prediction.given import as_texts, as_words, problem_of, text_problem
from genner.prediction.options import PredictOptions
from genner.prediction.results import TextInput, words_joined


class Table:
    """As tables are: iterating gives the names of the columns."""

    columns = ("text",)

    def __iter__(self) -> Any:
        return iter(self.columns)


DOC = spacy.blank("en")("Sore knees")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, "texts: None. Expected a string, or a list of strings. Call ner"),
        (7, "texts: an int."),
        (b"Sore knees", r"texts: a bytes.*Decode it first"),
        (bytearray(b"x"), r"texts: a bytearray.*Decode it first"),
        ({"text": "Sore knees"}, r"texts: a dict.*given\['text'\]"),
        ({"Sore knees"}, r"texts: a set.*sorted\(given\)"),
        (Path("notes.txt"), r"texts: a P.*Path.*path\.read_text"),
        (Table(), r"texts: a Table.*Give the column"),
        (DOC, r"texts: a Doc.*given\.text"),
        (np.array("Sore knees"), "texts: a ndarray"),
        ("Sore knees", "texts: the string 'Sore knees'. Expected a list of strings"),
    ],
)
def test_what_is_no_list_of_texts(given: Any, told: str) -> None:
    with pytest.raises(InputTypeError, match=told):
        as_texts(given, "ner([text, ...])")


def test_iterables_of_texts() -> None:
    for given in (["a"], ("a",), iter(["a"]), np.array(["a"]), (text for text in ["a"]), {"x": "a"}.values()):
        assert list(as_texts(given, "")) == ["a"]


def test_texts_that_are_none() -> None:
    assert text_problem(None, 3) == "text 3: None. Expected a string. Leave it out, or make it a string."
    assert text_problem(["a"], 0).endswith("call predict_words(sentences).")
    assert text_problem(DOC, 0).endswith("Give its text: given.text.")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("Sore knees", r"sentences: the string 'Sore knees'\. Expected a list of sentences, each a list of words\."),
        (["Stiff", "neck"], r"sentence 0: the string 'Stiff'\..*For text, call ner\(texts\); for one.*\[words\]"),
        ([["a"], "neck"], r"sentence 1: the string 'neck'"),
        (None, "sentences: None"),
        ([None], "sentence 0: None"),
        ([3], "sentence 0: an int"),
        ({"words": ["a"]}, r"sentences: a dict.*given\['words'\]"),
        ([{"a"}], "sentence 0: a set"),
        ([DOC], r"sentence 0: a Doc.*predict_words\(\[\[word\.text for word in given\]\]\)"),
        ([["a", None]], r"sentence 0, word 1: None\. Expected a string\. Put a placeholder such as '_' there\."),
        ([["a", float("nan")]], r"sentence 0, word 1: a float\..*placeholder"),
        ([["a", 3]], r"sentence 0, word 1: an int\..*str\(word\)"),
        ([[b"a"]], r"sentence 0, word 0: a bytes\..*Decode it"),
        ([list(DOC)], r"sentence 0, word 0: a Token\..*given\.text"),
    ],
)
def test_what_is_no_list_of_words(given: Any, told: str) -> None:
    with pytest.raises(InputTypeError, match=told) as error:
        list(as_words(given))
    assert isinstance(error.value, TypeError) and isinstance(error.value, NerError)


def test_iterables_of_words() -> None:
    expected = [words_joined(["my", "knee"])]
    for given in (
        [["my", "knee"]],
        np.array([["my", "knee"]]),
        (iter(one) for one in [["my", "knee"]]),
        [("my", "knee")],
    ):
        assert list(as_words(given)) == expected
    assert list(as_words([])) == [] and list(as_words([[]])) == [TextInput("", words=())]
    assert problem_of(words_joined(["New York", "a\nb", "\u200b"])) is None, "blanks within words are no mistake"


@pytest.mark.parametrize("word", ["", " ", "\n", "\u3000"])
def test_words_that_nobody_sees(word: str) -> None:
    told = "word 1 is empty or blank. Expected characters that can be seen. Put a placeholder such as '_' there."
    assert problem_of(words_joined(["a", word])) == told


@pytest.mark.parametrize(
    ("words", "sentences", "told"),
    [
        (("a", "b"), None, "word 0 is the string 'a'. Expected its first character"),
        (((0, 1), (4, 9)), None, "word 1 is at characters 4 to 9 of 5"),
        (((2, 3), (0, 1)), None, "word 1 is at characters 0 to 1"),
        (((0, 1.5),), None, "word 0 is a tuple"),
        (((0, 1), (2, 3)), ((0, 1),), "the sentences do not cover the 2 words"),
        (((0, 1), (2, 3)), ((0, 2), (1, 2)), "the sentences do not cover"),
        (((0, 1), (2, 3)), (0, 2), "the sentences do not cover"),
    ],
)
def test_words_and_sentences_of_inputs(words: Any, sentences: Any, told: str) -> None:
    assert problem_of(TextInput("a b c", words=words, sentences=sentences)).startswith(told)


def test_inputs_that_are_right() -> None:
    spans = (Segment(0, 1), Segment(2, 3))
    assert problem_of(TextInput("a b c")) is None
    assert problem_of(TextInput("a b c", words=spans)) is None
    assert problem_of(TextInput("a b c", words=spans, sentences=(Segment(0, 1), Segment(1, 2)))) is None
    assert problem_of(TextInput("", words=(), sentences=())) is None


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("batch_size", "4", "a whole number"),
        ("batch_size", 4.0, "a whole number"),
        ("batch_size", True, "a whole number"),
        ("window", "64", "a whole number or None"),
        ("min_score", "0.5", "a number or None"),
        ("alpha", "0.1", "a number or None"),
        ("calibrated", 1, "True or False"),
        ("words", None, "a string"),
    ],
)
def test_options_of_other_types(option: str, value: Any, expected: str) -> None:
    with pytest.raises(InputTypeError, match=rf"^{option} is {value!r}\. Expected {expected}\.$"):
        PredictOptions(**{option: value})


def test_numbers_of_numpy_are_numbers() -> None:
    assert PredictOptions(batch_size=np.int64(4), min_score=np.float32(0.5)).batch_size == 4
