"""Long runs without white space: the tokenizer's own words, by fewer searches."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.language import Language

from genner.prediction.long_runs import bounded

SIGNS = "abcdeXYZ019.,:;!?()[]{}'\"-/\u2026\u2014$%&=<>_*#@~+\u00e9\u00df\u6f22\U0001f600\u00b0"
ENDS = st.sampled_from(["", ".", ").", "'s", '."', "!!!", "...", "km"])


@pytest.fixture(scope="module")
def english() -> Language:
    return spacy.blank("en")


class Counting:
    """A tokenizer that adds up the characters its rules for suffixes search through."""

    def __init__(self, tokenizer: object) -> None:
        self._tokenizer, self.n_searched, self.longest = tokenizer, 0, 0
        self.vocab = tokenizer.vocab
        self.find_prefix = tokenizer.find_prefix

    def find_suffix(self, text: str) -> int:
        self.n_searched += len(text)
        return self._tokenizer.find_suffix(text)

    def __call__(self, text: str) -> object:
        self.longest = max(self.longest, len(text))
        return self._tokenizer(text)


@given(before=st.text("(['\"", max_size=5), body=st.text(SIGNS, min_size=51, max_size=120), after=ENDS)
def test_runs_that_have_few_affixes_are_the_tokenizers(english: Language, before: str, body: str, after: str) -> None:
    text = f"See {before}{body}{after} and go."
    assert [word.text for word in bounded(english.tokenizer)(text)] == [word.text for word in english.tokenizer(text)]


@pytest.mark.parametrize(
    "unit", ["(", ")", ".", "_", "(.", "$", "%", "=", "a-", "1:", "\U0001f600", "\U0001f44d\U0001f3fd"]
)
def test_runs_of_signs_have_the_words_of_the_tokenizer(english: Language, unit: str) -> None:
    text = f"See {unit * 300} and go."
    found = bounded(english.tokenizer)(text)
    assert [word.text for word in found] == [word.text for word in english.tokenizer(text)]
    assert found.text == text


def test_exceptions_inside_long_affixes_are_not_known(english: Language) -> None:
    """As the module says: an emoticon is a word where the tokenizer is asked, not in the middle of signs."""
    assert [word.text for word in bounded(english.tokenizer)(":)" * 100)][:4] == [":", ")", ":", ")"]
    assert english.tokenizer(":)" * 100)[0].text == ":)"


@pytest.mark.parametrize("unit", ["(", "(.", ":)", "a)", "'", "x", ".", "\U0001f600"])
def test_the_work_does_not_grow_with_the_run(english: Language, unit: str) -> None:
    counting = Counting(english.tokenizer)
    text = (unit * 20_000)[:20_000]
    found = bounded(counting)(text)
    assert found.text == text
    assert counting.longest <= 1_000 and counting.n_searched < 20 * len(text)
    assert max(map(len, found)) <= 1_000


def test_a_tokenizer_without_such_rules_is_left_alone() -> None:
    tokenizer = spacy.blank("zh").tokenizer
    assert bounded(tokenizer) is tokenizer
