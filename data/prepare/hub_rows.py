"""The rows of a dataset -> examples: which ones count, and what their columns say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from genner.data.loaders.conll import DOCSTART
from genner.data.offsets import EMPTY, Mention, to_characters
from genner.data.prepare.cells import Cells
from genner.data.prepare.offsets_check import reading_of, refuse_misplaced
from genner.data.prepare.request import HubColumns, Request
from genner.data.schema import Entity, Example, merge_segments, sort_entities
from genner.data.schemes import TagError, TagReader, is_tag
from genner.data.tally import Tally
from genner.data.text import build_examples, sentence_words
from genner.errors import DataFormatError

__all__ = ["Rows"]

_REFUSED = ("reject", "ignore")  # answers of Prodigy
_PARTED = "row of words and tags parted by blanks, read so"
_NOT_OF_WORDS = "annotation whose text is not that of its words, dropped"


class _Row(NamedTuple):
    """What a row holds: a text or words; mentions, or tags, or neither if it has no labels."""

    place: str
    number: int
    text: str | None
    words: tuple[str, ...]
    mentions: list[Mention] | None
    tags: list[str] | None


class Rows:
    """Reads rows one by one, then makes examples of them, since some things show only when all were seen.

    Args:
        columns: what to read.
        names: of numbered tags and labels.
        tally: counts what is missing, repaired or left out.
    """

    def __init__(self, columns: HubColumns, names: Sequence[str], tally: Tally) -> None:
        self._columns, self._tally = columns, tally
        self._cells = Cells(names, columns.inclusive, tally)
        self._rows: dict[str, list[_Row]] = {}
        self._n_longer = 0  # rows parted by blanks with more than a word

    def add(self, row: Mapping[str, Any], split: str, number: int) -> None:
        """Read a row.

        Raises:
            DataFormatError: it is invalid.
        """
        found = self._rows.setdefault(split, [])
        columns, place = self._columns, f"{split}, row {number}"
        answer = row.get("answer")
        if isinstance(answer, str) and answer.lower() in _REFUSED:
            self._tally.add(f"row with the answer {answer!r}, left out", place)
            return
        labels = row.get(columns.tags or columns.spans)
        text, words, mentions, tags = None, (), None, None
        if columns.text:
            text = self._cells.text(row[columns.text], columns.text, place)
        else:
            given = row[columns.words]
            if columns.tags and is_parted(given, labels):
                given, labels = given.split(), labels.split()
                self._tally.add(_PARTED, place)
                self._n_longer += len(given) > 1
            words = self._cells.words(given, columns.words, place) or ()
        if not words and not (text and text.strip()):
            self._tally.add("row without words, skipped", place)
            return
        if words == (DOCSTART,):
            self._tally.add("row that only marks the start of a document, left out", place)
            return
        if columns.tags:
            tags = self._cells.tags(labels, len(words), columns.tags, place)
        else:
            mentions = self._cells.spans(labels, columns.spans, place)
        found.append(_Row(place, number - 1, text, words, mentions, tags))

    def is_unlabelled(self, split: str) -> bool:
        """Whether no row of a split has labels."""
        rows = self._rows.get(split, [])
        return bool(rows) and not any(map(_is_labelled, rows))

    def examples(self, splits: Sequence[str], request: Request) -> dict[str, list[Example]]:
        """The examples of some splits.

        Raises:
            DataFormatError: tags or spans do not fit the words, or most covered texts are elsewhere.
        """
        if self._tally.counts[_PARTED] > 1 and not self._n_longer:
            raise DataFormatError(
                f"hf: {request.raw}: column {self._columns.words!r} holds one word per row "
                f"({', '.join(self._tally.places[_PARTED])}). Expected the words of a sentence in every row. Train on "
                "such a table as it is, with data.word_column, data.tag_column and data.sentence_column."
            )
        labelled: dict[str, list[_Row]] = {}
        for split in splits:
            labelled[split] = []
            for row in self._rows.get(split, []):
                if _is_labelled(row):
                    labelled[split].append(row)
                else:
                    self._tally.add("row without labels, left out", row.place)
        read = self._of_text if self._columns.text else self._of_tags if self._columns.tags else self._of_spans
        return read(labelled, request)

    def _of_text(self, rows: Mapping[str, Sequence[_Row]], request: Request) -> dict[str, list[Example]]:
        documents = [(row.text, self._whole(row)) for some in rows.values() for row in some]
        reading = reading_of(documents, request, f"hf: {request.raw}")
        result: dict[str, list[Example]] = {split: [] for split in rows}
        placed = iter(documents)
        for split, some in rows.items():
            for row, (text, mentions) in zip(request.progress(some, f"{split} texts"), placed, strict=False):
                inside = to_characters(text, mentions, self._tally, reading=reading)
                sentences = sentence_words(text, lines=True if request.lines is None else request.lines)
                made = build_examples(text, sentences, inside, row.number, self._tally, across=request.across)
                result[split] += made
        n_mentions = sum(len(row.mentions or ()) for some in rows.values() for row in some)
        cure = "Set --inclusive if ends are inclusive, and check"
        refuse_misplaced(n_mentions, self._tally, f"hf: {request.raw}", cure)
        return result

    def _whole(self, row: _Row) -> list[Mention]:
        """The mentions of a row whose parts are not empty."""
        whole = []
        for mention in row.mentions or ():
            if all(start < end for start, end in mention.fragments):
                whole.append(mention)
            else:
                self._tally.add(EMPTY, row.place)
        return whole

    def _of_tags(self, rows: Mapping[str, Sequence[_Row]], _: Request) -> dict[str, list[Example]]:
        seen = {tag for some in rows.values() for row in some for tag in row.tags or ()}
        reader = TagReader("io") if _is_io(seen) else TagReader()
        result: dict[str, list[Example]] = {}
        for split, some in rows.items():
            result[split] = []
            for row in some:
                try:
                    entities = reader.entities(row.tags or (), lambda _, place=row.place: place)
                except TagError as error:
                    raise DataFormatError(
                        f"{row.place}: {error} Correct the row, or choose another column with --tags."
                    ) from None
                result[split].append(Example(row.words, tuple(entities)))
        reader.report(self._tally)
        return result

    def _of_spans(self, rows: Mapping[str, Sequence[_Row]], _: Request) -> dict[str, list[Example]]:
        result: dict[str, list[Example]] = {}
        n_telling = 0
        for split, some in rows.items():
            result[split] = []
            for row in some:
                entities: dict[Entity, None] = {}
                for mention in row.mentions or ():
                    n_telling += bool(mention.text)
                    if not self._fits(mention, row):
                        continue
                    entity = Entity(mention.label, merge_segments(mention.fragments))
                    if entity in entities:
                        self._tally.add("duplicate annotation, counted once", row.place)
                    entities[entity] = None
                result[split].append(Example(row.words, sort_entities(entities)))
        n_lost = self._tally.counts[_NOT_OF_WORDS]
        if n_lost > n_telling / 2:
            raise DataFormatError(
                f"hf: the texts of {n_lost} of {n_telling} spans are not those of their words "
                f"({', '.join(self._tally.places[_NOT_OF_WORDS])}). Expected spans that count the words of column "
                f"{self._columns.words!r}. If they count characters, name the column of the raw text with --text."
            )
        return result

    def _fits(self, mention: Mention, row: _Row) -> bool:
        """Whether a span covers the words that it states; counted if not.

        Raises:
            DataFormatError: it is not a span of the words, or fits with the other kind of ends.
        """
        closed = self._columns.inclusive
        for start, end in mention.fragments:
            if not 0 <= start < end <= len(row.words):
                remedy = "Set --inclusive if the ends are the last word."
                if end > len(row.words):
                    remedy = "If the spans count characters, name the column of the raw text with --text."
                raise DataFormatError(
                    f"{row.place}: span {start}..{end - closed} of {len(row.words)}. Expected offsets inside, "
                    f"ends {'in' if closed else 'ex'}clusive. {remedy}"
                )
        if not mention.text or _covered(mention, row, 0) == _packed(mention.text):
            return True
        if _covered(mention, row, -1 if closed else 1) == _packed(mention.text):
            raise DataFormatError(
                f"{row.place}: {mention.text[:40]!r} is a span's text if its end is {'ex' if closed else 'in'}clusive. "
                f"Expected {'in' if closed else 'ex'}clusive ends. {'Leave out' if closed else 'Set'} --inclusive."
            )
        self._tally.add(_NOT_OF_WORDS, row.place)
        return False


def is_parted(words: object, tags: object) -> bool:
    """Whether both are text whose parts between blanks correspond, the latter being tags."""
    if not (isinstance(words, str) and isinstance(tags, str)):
        return False
    return len(words.split()) == len(tags.split()) > 0 and all(map(is_tag, tags.split()))


def _is_labelled(row: _Row) -> bool:
    return row.mentions is not None or row.tags is not None


def _is_io(tags: set[str]) -> bool:
    """Whether tags are labels alone, without a sign such as B or I."""
    labels = tags - {"O", "o"}
    return "O" in tags and not labels <= set("BIESMLUW") and not any(map(is_tag, labels))


def _covered(mention: Mention, row: _Row, more: int) -> str:
    """The words of a mention without blanks, if it ended ``more`` words later."""
    *parts, (start, end) = mention.fragments
    return _packed("".join("".join(row.words[a:b]) for a, b in (*parts, (start, end + more))))


def _packed(text: str) -> str:
    return "".join(text.split())
