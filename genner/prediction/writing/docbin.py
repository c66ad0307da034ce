"""spaCy: documents in one ``.spacy`` file, as ``spacy train`` and ``DocBin`` read it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from genner.data.schema import Segment
from genner.data.tally import Tally
from genner.prediction.reading.documents import SPANS_KEY
from genner.prediction.results import TextResult
from genner.prediction.writing.base import Writer, disjoint

if TYPE_CHECKING:
    from spacy.tokens import Doc, DocBin

__all__ = ["SpacyDocs"]

_ATTRIBUTES = ("ENT_IOB", "ENT_TYPE", "SENT_START")
_LENGTH_BYTES = 8


class SpacyDocs(Writer):
    """A document per text; its tokens are the words, and white space between them other than one blank.

    ``doc.spans["entities"]`` has a span per part of an entity; parts of one entity share their ``span.id_``, ``"0"``,
    ``"1"`` ... in the order of the entities, and ``.attrs["scores"]`` has the score of every span. ``doc.ents`` has the
    entities if they are all contiguous and share no words, and is empty otherwise. ``doc.user_data`` has ``"id"`` and,
    if there are any, ``"notes"``. The file is put together at the end, in memory.
    """

    holds: ClassVar[frozenset[str]] = frozenset(
        {"overlapping", "discontinuous", "crossing", "scores", "text", "words", "documents", "ids", "notes"}
    )
    is_assembled = True
    is_binary = True

    def __init__(self, tally: Tally, labels: Sequence[str] = ()) -> None:
        super().__init__(tally, labels)
        from spacy.vocab import Vocab  # takes a second; other formats do not need it

        self._vocab = Vocab()

    def encode(self, result: TextResult) -> bytes:
        docs = _empty_bin()
        with self._vocab.memory_zone():  # otherwise it would keep every word it has seen
            docs.add(self._doc(result))
            content = docs.to_bytes()
        return len(content).to_bytes(_LENGTH_BYTES, "big") + content

    def assembled(self, records: BinaryIO) -> Iterable[bytes]:
        docs = _empty_bin()
        while size := records.read(_LENGTH_BYTES):
            docs.merge(_empty_bin().from_bytes(records.read(int.from_bytes(size, "big"))))
        yield docs.to_bytes()

    def _doc(self, result: TextResult) -> Doc:
        from spacy.tokens import Doc, Span, SpanGroup

        text = self.utf8(result.text, result.id).decode("utf-8")
        words, spaces, places = _tokens(text, result.words)
        starts = {places[start] if start else 0 for start, end in result.sentences if end > start}
        begins = [idx in starts for idx in range(len(words))]
        doc = Doc(self._vocab, words=words, spaces=spaces, sent_starts=begins)
        spans, scores = [], []
        for number, entity in enumerate(result.entities):
            for part in entity.segments:
                first, last = places[part.word_start], places[part.word_end - 1]
                spans.append(Span(doc, first, last + 1, label=entity.type, span_id=str(number)))
                scores.append(entity.score)
        doc.spans[SPANS_KEY] = SpanGroup(doc, name=SPANS_KEY, spans=spans, attrs={"scores": scores})
        if not any(entity.is_discontinuous for entity in result) and len(disjoint(result.entities)) == len(result):
            doc.ents = [Span(doc, span.start, span.end, label=span.label_) for span in spans]
        elif result.entities:
            self.tally.add("text whose entities overlap or have several parts, without doc.ents", result.id)
        doc.user_data["id"] = result.id
        if result.notes:
            doc.user_data["notes"] = list(result.notes)
        return doc


def _empty_bin() -> DocBin:
    from spacy.tokens import DocBin

    return DocBin(attrs=_ATTRIBUTES, store_user_data=True)


def _tokens(text: str, words: Sequence[Segment]) -> tuple[list[str], list[bool], list[int]]:
    """The tokens, whether a blank follows each, and the index of every word among them.

    A blank belongs to the token before it; any other white space between two words is a token of its own.
    """
    tokens: list[str] = []
    spaces: list[bool] = []
    places: list[int] = []
    at = 0
    for start, end in [*words, Segment(len(text), len(text))]:
        gap = text[at:start]
        if tokens and gap.startswith(" "):
            spaces[-1] = True
            gap = gap[1:]
        if gap:
            tokens.append(gap)
            spaces.append(False)
        if end > start:
            places.append(len(tokens))
            tokens.append(text[start:end])
            spaces.append(False)
        at = end
    return tokens, spaces, places
