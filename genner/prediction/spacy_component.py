"""A spaCy component: ``nlp.add_pipe("genner", config={"model": "runs/demo/model/best"})``.

spaCy finds the name ``genner`` if this package is installed, else once this module is imported. The model is loaded
with the first document. Entities are written into ``doc.spans["genner"]``, one span for every part of an entity:

* ``span.label_`` is the type;
* ``span.id_`` is the same for all parts of an entity; :func:`entities_of` puts them together;
* ``doc.spans["genner"].attrs["scores"]`` has the score of the entity for every span, as in spaCy's own spancat.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, Span, SpanGroup
from spacy.util import filter_spans, minibatch

from genner.data.schema import Segment
from genner.errors import ConfigError, DataFormatError
from genner.prediction.results import TextEntity, TextInput, TextResult, TextSegment
from genner.prediction.text import TextSplitter

if TYPE_CHECKING:
    from genner.prediction.recogniser import Recogniser

__all__ = ["ENTS", "GennerComponent", "entities_of"]

#: What goes into ``doc.ents``, which holds neither nested nor discontinuous entities: all entities of documents that
#: have only flat ones, and none of other documents; the longest ones without overlaps; or none.
ENTS = ("flat", "longest", "none")

_ErrorHandler = Callable[[str, "GennerComponent", list[Doc], Exception], Any]


class GennerComponent:
    """Finds entities in documents.

    Words are the document's tokens that are not white space. Sentences are those of the document, if it has any, else
    those that this project's rules find.

    Args:
        name: in the pipeline.
        model: a model folder or a hub id, see :func:`genner.prediction.recogniser.load`.
        language: code of the pipeline's language, for sentences.
        spans_key: of ``doc.spans``.
        ents: one of :data:`ENTS`.
        options: of the recogniser, see :class:`genner.prediction.recogniser.PredictOptions`.

    Raises:
        ConfigError: an unknown ``ents``, or no model.
    """

    def __init__(
        self, name: str, *, model: str, language: str, spans_key: str, ents: str, options: dict[str, Any]
    ) -> None:
        if ents not in ENTS:
            raise ConfigError(f"{name}: ents is {ents!r}. Expected one of {', '.join(ENTS)}. Change its config.")
        if not model:
            raise ConfigError(f"{name}: no model. Expected a model folder or a hub id. Set config={{'model': ...}}.")
        self.name, self.model, self.language = name, model, language
        self.spans_key, self.ents, self.options = spans_key, ents, options
        self._ner: Recogniser | None = None
        self._splitter: TextSplitter | None = None
        self._error_handler: _ErrorHandler = _raise

    @property
    def ner(self) -> Recogniser:
        """The model, loaded on first use.

        Raises:
            NerError: it cannot be loaded.
        """
        if self._ner is None:
            from genner.prediction.recogniser import load  # late: it imports torch

            self._ner = load(self.model, **self.options)
        return self._ner

    @property
    def labels(self) -> tuple[str, ...]:
        """Types, in the order of the model."""
        return self.ner.labels

    def __call__(self, doc: Doc) -> Doc:
        """Add the entities of one document."""
        return next(iter(self.pipe([doc])))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 64) -> Iterator[Doc]:
        """Add the entities of documents, in batches; one that cannot be read goes to the error handler."""
        for docs in minibatch(stream, size=batch_size):
            results = self.ner.stream([self._input(doc) for doc in docs])
            for doc, result in zip(docs, results, strict=True):
                if result.error is not None:
                    self._error_handler(self.name, self, [doc], DataFormatError(result.error))
                else:
                    self._annotate(doc, result)
                    yield doc

    def set_error_handler(self, error_handler: _ErrorHandler) -> None:
        """Set the function called for a document that cannot be read; by default the error is raised."""
        self._error_handler = error_handler

    def get_error_handler(self) -> _ErrorHandler:
        """The function that :meth:`set_error_handler` set."""
        return self._error_handler

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the model, which another process loads for itself."""
        return {**self.__dict__, "_ner": None, "_splitter": None}

    def _input(self, doc: Doc) -> TextInput:
        words = [Segment(token.idx, token.idx + len(token)) for token in doc if not token.is_space]
        if doc.has_annotation("SENT_START"):
            places = [sentence.start_char for sentence in doc.sents]
        else:
            self._splitter = self._splitter or TextSplitter(self.language)
            found = self._splitter.split(doc.text)
            places = [found.words[sentence.start].start for sentence in found.sentences]
        starts = [word.start for word in words]
        firsts = sorted({0, *(bisect_left(starts, place) for place in places)} - {len(words)})
        sentences = map(Segment, firsts, [*firsts[1:], len(words)])
        return TextInput(doc.text, words=tuple(words), sentences=tuple(sentences) if words else ())

    def _annotate(self, doc: Doc, result: TextResult) -> None:
        tokens = [token.i for token in doc if not token.is_space]
        spans, scores = [], []
        for number, entity in enumerate(result, 1):
            for part in entity.segments:
                first, last = tokens[part.word_start], tokens[part.word_end - 1]
                spans.append(Span(doc, first, last + 1, label=entity.type, span_id=str(number)))
                scores.append(entity.score)
        attrs = {"scores": np.array(scores, dtype=np.float64)}
        doc.spans[self.spans_key] = SpanGroup(doc, name=self.spans_key, spans=spans, attrs=attrs)
        self._set_ents(doc, spans, [entity.is_discontinuous for entity in result for _ in entity.segments])

    def _set_ents(self, doc: Doc, spans: Sequence[Span], is_part: Sequence[bool]) -> None:
        if self.ents == "none":
            return
        scores = doc.spans[self.spans_key].attrs["scores"]
        whole = [(-score, idx) for idx, (score, part) in enumerate(zip(scores, is_part, strict=True)) if not part]
        fitting = filter_spans([spans[idx] for _, idx in sorted(whole)])  # of equally long ones the higher score
        if self.ents == "longest" or len(fitting) == len(spans):
            doc.ents = [Span(doc, span.start, span.end, label=span.label) for span in fitting]
        else:
            doc.ents = []


def entities_of(doc: Doc, key: str = "genner") -> list[TextEntity]:
    """The entities of a document, from their parts; word offsets count the document's tokens.

    Args:
        doc: processed by the component, possibly stored and loaded since.
        key: of ``doc.spans``.
    """
    group = doc.spans[key]
    parts: dict[str, list[Span]] = {}
    scores: dict[str, float] = {}
    for span, score in zip(group, group.attrs["scores"], strict=True):
        parts.setdefault(span.id_, []).append(span)
        scores[span.id_] = float(score)
    return [
        TextEntity(
            spans[0].label_,
            tuple(TextSegment(span.text, span.start_char, span.end_char, span.start, span.end) for span in spans),
            scores[number],
        )
        for number, spans in parts.items()
    ]


def _raise(name: str, component: GennerComponent, docs: list[Doc], error: Exception) -> None:
    raise error


@Language.factory(
    "genner",
    assigns=["doc.spans", "doc.ents"],
    default_config={"model": "", "spans_key": "genner", "ents": "flat", "options": {}},
)
def _component(
    nlp: Language, name: str, model: str, spans_key: str, ents: str, options: dict[str, Any]
) -> GennerComponent:
    return GennerComponent(
        name, model=model, language=nlp.lang, spans_key=spans_key, ents=ents, options={"language": nlp.lang, **options}
    )
