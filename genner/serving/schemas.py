"""Requests and answers of the HTTP service, checked by pydantic and described in ``/openapi.json``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from genner.prediction.results import TextEntity, TextInput, TextResult, TextSegment, words_joined

__all__ = ["Drawing", "ErrorAnswer", "HealthAnswer", "PageText", "PredictAnswer", "PredictRequest"]

Score = Annotated[
    Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None,
    Field(description="Entities with lower scores are left out; by default as was best on dev. 0 gives all."),
]
_KEYS = ("text", "texts", "words")


def _all_characters(text: str) -> str:
    """Refuse lone surrogates, which JSON allows as escapes but no answer could contain."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        where = {"place": error.start}
        raise PydanticCustomError(
            "surrogate", "Lone surrogate at character {place}, which is not a character", where
        ) from None
    return text


def _all_words(words: list[str]) -> list[str]:
    """Refuse lone surrogates in a sentence, all of it at once, as there may be very many words."""
    _all_characters(" ".join(words))
    return words


Text = Annotated[str, AfterValidator(_all_characters)]
Word = Annotated[str, Field(min_length=1)]
Sentence = Annotated[list[Word], AfterValidator(_all_words)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class OneText(_Strict):
    """One text."""

    text: Text
    min_score: Score = None

    def inputs(self) -> list[TextInput]:
        """The texts to read."""
        return [TextInput(self.text, "0")]


class SomeTexts(_Strict):
    """Several texts; the results are in the same order."""

    texts: list[Text]
    min_score: Score = None

    def inputs(self) -> list[TextInput]:
        """The texts to read."""
        return [TextInput(text, str(number)) for number, text in enumerate(self.texts)]


class GivenWords(_Strict):
    """Sentences given as words; character offsets refer to the words joined by spaces."""

    words: list[Sentence]
    min_score: Score = None

    def inputs(self) -> list[TextInput]:
        """The texts to read."""
        return [words_joined(words, id=str(number)) for number, words in enumerate(self.words)]


def _only_key(body: Any) -> str | None:
    """The kind of request a body is; None if it has none of the keys, or more than one."""
    found = [key for key in _KEYS if key in body] if isinstance(body, dict) else []
    return found[0] if len(found) == 1 else None


#: The body of ``POST /predict``: an object with one of ``text``, ``texts`` and ``words``.
PredictRequest = Annotated[
    Annotated[OneText, Tag("text")] | Annotated[SomeTexts, Tag("texts")] | Annotated[GivenWords, Tag("words")],
    Discriminator(
        _only_key,
        custom_error_type="one_of",
        custom_error_message="Expected a JSON object with exactly one of text, texts and words, and the header "
        "Content-Type: application/json",
    ),
]


class FoundSegment(_Strict):
    """A contiguous part of an entity; ``start`` and ``end`` are character offsets (code points), the end exclusive."""

    text: str
    start: int
    end: int
    words: Annotated[list[int], Field(min_length=2, max_length=2, description="First word, and one past the last.")]


class FoundEntity(_Strict):
    """An entity; a discontinuous one has several segments."""

    type: str
    text: Annotated[str, Field(description="Its segments, joined by spaces.")]
    score: Annotated[float, Field(ge=0, le=1)]
    segments: Annotated[list[FoundSegment], Field(min_length=1)]


class FoundInText(_Strict):
    """A text and its entities in reading order."""

    id: Annotated[str, Field(description="Number of the text in the request, from 0.")]
    text: str
    entities: list[FoundEntity]
    notes: Annotated[list[str], Field(default_factory=list, description="Remarks; absent if there are none.")]
    error: Annotated[str, Field(default="", description="Why this text could not be read; absent if it was.")]


class PredictAnswer(_Strict):
    """The texts in the order of the request."""

    results: list[FoundInText]


class HealthAnswer(_Strict):
    """State of the server; ``labels`` and ``kind`` are empty until the model is loaded."""

    status: Literal["loading", "ready", "draining"]
    model: str
    kind: str
    labels: list[str]


class PageText(_Strict):
    """A text from the page."""

    text: Text


class DrawnEntity(_Strict):
    """An entity to draw; its segments are character offsets."""

    type: Text
    score: Annotated[float, Field(ge=0, le=1)]
    segments: Annotated[list[Annotated[list[int], Field(min_length=2, max_length=2)]], Field(min_length=1)]


class Drawing(_Strict):
    """What the page wants to have drawn."""

    text: Text
    entities: list[DrawnEntity]
    notes: list[Text] = []
    whole: Annotated[bool, Field(description="A document instead of an element.")] = False

    def result(self) -> TextResult:
        """As it was found."""
        entities = tuple(
            TextEntity(one.type, tuple(TextSegment(self.text[s:e], s, e, 0, 0) for s, e in one.segments), one.score)
            for one in self.entities
        )
        return TextResult(self.text, entities=entities, notes=tuple(self.notes))


class ErrorAnswer(_Strict):
    """Why a request was not answered, and what to do."""

    detail: str
