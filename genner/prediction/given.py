"""What a recogniser is given, checked: texts, or sentences as words. Nothing else is spelled into characters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import pairwise
from pathlib import PurePath
from typing import Any

from genner.errors import InputTypeError
from genner.prediction.results import TextInput, words_joined

__all__ = ["as_texts", "as_words", "problem_of", "text_problem"]

_TEXTS = "a string, or a list of strings"
_SENTENCES = "a list of sentences, each a list of words"
_PLACEHOLDER = "Put a placeholder such as '_' there."


def as_texts(given: Iterable[Any], call: str) -> Iterable[Any]:
    """The texts as they are, one by one.

    Args:
        given: any iterable of texts.
        call: how one calls with a list, for the message.

    Raises:
        InputTypeError: it cannot be an iterable of texts.
    """
    if isinstance(given, str | TextInput):
        raise InputTypeError(f"texts: {named(given)}. Expected a list of strings. Put it into one: {call}.")
    if not _is_list_like(given):
        remedy = _remedy(given) or f"Call {call}."
        raise InputTypeError(f"texts: {named(given)}. Expected {_TEXTS}. {remedy}")
    return given


def as_words(sentences: Iterable[Iterable[str]]) -> Iterator[TextInput]:
    """Inputs for sentences that are given as words.

    Raises:
        InputTypeError: at once or while iterating: it is no iterable of sentences, a sentence is no iterable of words,
            or a word is no string.
    """
    if not _is_list_like(sentences):
        remedy = "For text, call ner(text)." if isinstance(sentences, str) else _remedy_for_words(sentences)
        raise InputTypeError(f"sentences: {named(sentences)}. Expected {_SENTENCES}. {remedy}")
    return (words_joined(_words(sentence, number)) for number, sentence in enumerate(sentences))


def text_problem(given: Any, number: int) -> str:
    """What to say of a text that is none."""
    is_list = isinstance(given, list | tuple)
    remedy = "For sentences as words, call predict_words(sentences)." if is_list else _remedy(given)
    return f"text {number}: {named(given)}. Expected a string. {remedy or 'Leave it out, or make it a string.'}"


def problem_of(given: TextInput) -> str | None:
    """What is wrong with the words and sentences of an input; None if nothing is."""
    if given.words is None:
        return None
    end = 0
    for number, word in enumerate(given.words):
        if not _is_span(word):
            remedy = "For words as strings, use words_joined(words)."
            return f"word {number} is {named(word)}. Expected its first character and the one after its last. {remedy}"
        if not end <= word[0] <= word[1] <= len(given.text):
            place = f"{word[0]} to {word[1]} of {len(given.text):,}"
            return f"word {number} is at characters {place}. Expected words in ascending order. Correct it."
        start, end = word
        if not given.text[start:end].strip():
            return f"word {number} is empty or blank. Expected characters that can be seen. {_PLACEHOLDER}"
    if given.sentences is None:
        return None
    spans = [sentence for sentence in given.sentences if _is_span(sentence)]
    bounds = [0, *(bound for span in spans for bound in span), len(given.words)]
    is_whole = all(one == other for one, other in list(pairwise(bounds))[::2])
    if len(spans) < len(given.sentences) or not is_whole or bounds != sorted(bounds):
        return (
            f"the sentences do not cover the {len(given.words):,} words one after the other. Expected spans from the "
            "first word to the last. Correct them, or leave them out."
        )
    return None


def named(value: Any) -> str:
    """A value as messages name it.

    >>> named(None), named("Sore knees"), named(3), named([1, 2])
    ('None', "the string 'Sore knees'", 'an int', 'a list')
    """
    if value is None:
        return "None"
    if isinstance(value, str):
        return f"the string {value[:40]!r}"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def _words(sentence: Any, number: int) -> list[str]:
    if not _is_list_like(sentence):
        is_text = isinstance(sentence, str)
        for_text = "For text, call ner(texts); for one sentence, predict_words([words])."
        remedy = for_text if is_text else _remedy_for_words(sentence)
        raise InputTypeError(f"sentence {number}: {named(sentence)}. Expected {_SENTENCES}. {remedy}")
    words = list(sentence)
    for place, word in enumerate(words):
        if not isinstance(word, str):
            is_missing = word is None or word != word  # NaN
            remedy = _remedy(word) or (_PLACEHOLDER if is_missing else "Make it one, such as str(word).")
            raise InputTypeError(f"sentence {number}, word {place}: {named(word)}. Expected a string. {remedy}")
    return words


def _is_list_like(given: Any) -> bool:
    """Whether its items, in this order, may be what was meant."""
    if isinstance(given, str | bytes | bytearray | memoryview | Mapping | Set | TextInput):
        return False
    if hasattr(given, "columns") or isinstance(getattr(given, "text", None), str):  # a table; a document of spaCy
        return False
    try:
        iter(given)
    except TypeError:
        return False
    return True


def _is_span(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2 and _are_ints(value)


def _are_ints(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int) for value in values)


def _remedy_for_words(given: Any) -> str:
    if isinstance(given, bytes | bytearray | memoryview):
        return "Decode it, then call ner(text)."
    if isinstance(getattr(given, "text", None), str):
        return "Call ner(given.text), or give its words: predict_words([[word.text for word in given]])."
    if hasattr(given, "columns"):
        return "Give the column that holds the lists of words, such as table['words']."
    if isinstance(given, Mapping):
        return "Give what it holds, such as given['words']."
    return _remedy(given) or 'Call predict_words([["Sore", "knees"]]).'


def _remedy(given: Any) -> str:
    """How to get the text out of something else; empty if that is not known."""
    if isinstance(given, bytes | bytearray | memoryview):
        return "Decode it first, such as with bytes(given).decode('utf-8')."
    if isinstance(given, PurePath):
        return "Read the file first: path.read_text(encoding='utf-8')."
    if hasattr(given, "columns"):
        return "Give the column that holds them, such as table['text']."
    if isinstance(given, Mapping):
        return "Give what it holds, such as given['text'] or list(given.values())."
    if isinstance(given, Set):
        return "Give them in an order: sorted(given)."
    if isinstance(getattr(given, "text", None), str):
        return "Give its text: given.text."
    return ""
