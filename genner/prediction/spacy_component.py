"""A spaCy component: ``nlp.add_pipe("genner", config={"model": "runs/demo/model/best"})``.

spaCy finds the name ``genner`` if this package is installed, else once this module is imported. The model is loaded
with the first document. Entities are written into ``doc.spans``, by default under the name of the component, one span
for every part of an entity:

* ``span.label_`` is the type;
* ``span.id_`` is the same for all parts of an entity; :func:`entities_of` puts them together;
* ``doc.spans["genner"].attrs["scores"]`` has the score of the entity for every span, as in spaCy's own spancat.

spaCy forgets such attributes when it joins documents, and two of them may have used the same ids. So score and number
of a part also stand in ``doc.user_data``, under the key of an extension of its span, whose places spaCy keeps right.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, Span, SpanGroup, Token
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

_EXTENSION = "genner"

_ErrorHandler = Callable[[str, "GennerComponent", list[Doc], Exception], Any]


class GennerComponent:
    """Finds entities in documents.

    Words are the document's tokens that are not white space. Sentences are those of the document, if it has any, else
    those that this project's rules find.

    Args:
        name: in the pipeline.
        model: a model folder or a hub id, see :func:`genner.prediction.recogniser.load`.
        language: code of the pipeline's language, for sentences.
        spans_key: of ``doc.spans``; empty: the name in the pipeline.
        ents: one of :data:`ENTS`.
        overwrite_ents: entities of earlier components in ``doc.ents`` give way to those of this one that they share
            words with; otherwise they stay.
        options: of the recogniser, see :class:`genner.prediction.recogniser.PredictOptions`.

    Raises:
        ConfigError: an unknown ``ents``, or no model.
    """

    def __init__(
        self,
        name: str,
        *,
        model: str,
        language: str,
        spans_key: str = "",
        ents: str = "flat",
        overwrite_ents: bool = False,
        options: dict[str, Any] | None = None,
    ) -> None:
        if ents not in ENTS:
            raise ConfigError(f"{name}: ents is {ents!r}. Expected one of {', '.join(ENTS)}. Change its config.")
        if not model:
            raise ConfigError(f"{name}: no model. Expected a model folder or a hub id. Set config={{'model': ...}}.")
        self.name, self.model, self.language = name, model, language
        self.spans_key, self.ents, self.options = spans_key or name, ents, dict(options or {})
        self.overwrite_ents = overwrite_ents
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
        words = [Segment(token.idx, token.idx + len(token)) for token in _words(doc)]
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
        tokens = [token.i for token in _words(doc)]
        spans, scores = [], []
        self._forget(doc)
        for number, entity in enumerate(result, 1):
            for part_number, part in enumerate(entity.segments):
                first, last = tokens[part.word_start], tokens[part.word_end - 1]
                span = Span(doc, first, last + 1, label=entity.type, span_id=str(number))
                of_span = doc.user_data.setdefault(_place(span), {})
                of_span.setdefault(self.spans_key, {})[span.id_] = [entity.score, part_number]
                spans.append(span)
                scores.append(entity.score)
        attrs = {"scores": np.array(scores, dtype=np.float64)}
        doc.spans[self.spans_key] = SpanGroup(doc, name=self.spans_key, spans=spans, attrs=attrs)
        if self.ents != "none":
            whole = [entity.is_discontinuous for entity in result for _ in entity.segments]
            self._set_ents(doc, spans, [idx for idx, is_part in enumerate(whole) if not is_part])

    def _forget(self, doc: Doc) -> None:
        """Remove what an earlier call has left of this component's entities."""
        for span in doc.spans.get(self.spans_key, ()):
            doc.user_data.get(_place(span), {}).pop(self.spans_key, None)

    def _set_ents(self, doc: Doc, spans: Sequence[Span], whole: Sequence[int]) -> None:
        """Add some of the spans to ``doc.ents``: those of ``whole``, which are entities of one part."""
        scores = doc.spans[self.spans_key].attrs["scores"]
        by_score = sorted(whole, key=lambda idx: -scores[idx])
        fitting = filter_spans([spans[idx] for idx in by_score])  # of equally long ones the higher score
        if self.ents == "flat" and len(fitting) < len(spans):
            fitting = []
        found = [Span(doc, span.start, span.end, label=span.label) for span in fitting]
        earlier = list(doc.ents)
        blocked = [doc[token.i : token.i + 1] for token in doc if token.ent_iob_ == "B" and not token.ent_type_]
        if self.overwrite_ents:
            earlier, blocked = _apart(earlier, found), _apart(blocked, found)
        else:
            found = _apart(found, [*earlier, *blocked])
        doc.set_ents([*earlier, *found], blocked=blocked)


def entities_of(doc: Doc | Span, key: str = "genner") -> list[TextEntity]:
    """The entities of a document, from their parts; word offsets count the document's tokens.

    Args:
        doc: processed by the component, possibly stored and loaded since, or joined with others by ``Doc.from_docs``;
            or a part of it, such as a sentence: the entities that lie in it, at their places in the document.
        key: of ``doc.spans``: the name of the component, unless its ``spans_key`` is another.

    Raises:
        ConfigError: the document has no such spans, or no scores for them.
    """
    whole = doc.doc
    if key not in whole.spans:
        known = ", ".join(map(repr, whole.spans)) or "none"
        raise ConfigError(
            f"doc.spans: no {key!r}, only {known}. Expected a document that the component has read; as_doc() of a part "
            "leaves spans out. Call entities_of(part) for a part of a document, or set key."
        )
    group = whole.spans[key]
    scores = group.attrs.get("scores")
    has_scores = scores is not None and len(scores) == len(group)
    parts: list[list[Span]] = []
    score_of: list[float] = []
    by_id: dict[str, int] = {}
    for idx, span in enumerate(group):
        score, number = whole.user_data.get(_place(span), {}).get(key, {}).get(span.id_, (None, None))
        if has_scores:
            score = scores[idx]
        if score is None:
            raise ConfigError(
                f"doc.spans[{key!r}]: no score of {span.text[:40]!r}. Expected attrs['scores'], one for each span, or "
                "the document's user data. Keep one of them when documents are stored or joined."
            )
        if number == 0 or span.id_ not in by_id:
            by_id[span.id_] = len(parts)
            parts.append([])
            score_of.append(float(score))
        parts[by_id[span.id_]].append(span)
    return [
        TextEntity(
            spans[0].label_,
            tuple(TextSegment(span.text, span.start_char, span.end_char, span.start, span.end) for span in spans),
            score,
        )
        for spans, score in zip(parts, score_of, strict=True)
        if isinstance(doc, Doc) or (spans[0].start >= doc.start and spans[-1].end <= doc.end)
    ]


def _apart(spans: Sequence[Span], others: Iterable[Span]) -> list[Span]:
    """The spans that share no token with others."""
    taken = {place for other in others for place in range(other.start, other.end)}
    return [span for span in spans if taken.isdisjoint(range(span.start, span.end))]


def _words(doc: Doc) -> Iterator[Token]:
    return (token for token in doc if len(token) and not token.is_space)


def _place(span: Span) -> tuple[str, str, int, int]:
    """The key of an extension of a span in the user data."""
    return "._.", _EXTENSION, span.start_char, span.end_char


def _raise(name: str, component: GennerComponent, docs: list[Doc], error: Exception) -> None:
    raise error


@Language.factory(
    "genner",
    assigns=["doc.spans", "doc.ents"],
    default_config={"model": "", "spans_key": "", "ents": "flat", "overwrite_ents": False, "options": {}},
)
def _component(
    nlp: Language,
    name: str,
    model: str,
    spans_key: str,
    ents: str,
    overwrite_ents: bool,
    options: dict[str, Any],
) -> GennerComponent:
    made = GennerComponent(
        name,
        model=model,
        language=nlp.lang,
        spans_key=spans_key,
        ents=ents,
        overwrite_ents=overwrite_ents,
        options={"language": nlp.lang, **options},
    )
    for other_name, other in nlp.pipeline:
        if other_name != name and isinstance(other, GennerComponent) and other.spans_key == made.spans_key:
            raise ConfigError(
                f"{name}: spans_key {made.spans_key!r} is that of the component {other_name!r}, whose entities it "
                f"would replace. Expected another. Set config={{'spans_key': ...}}, or leave it out."
            )
    return made
