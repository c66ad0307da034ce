"""Tags of words -> entities, in every usual scheme: BIO (IOB2), IOB1, IOE1, IOE2, BIOES, BMES, BMEWO, BILOU.

One reading holds for all of them, since the sign of a tag says the same everywhere: B begins, I and M go on, E and L
end, S, U and W are alone. So no word of an entity is ever lost; the schemes differ only in which tags they allow where.
Which one was meant shows when all tags were seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from genner.data.schema import Entity, Segment
from genner.data.tally import N_PLACES, Tally

__all__ = ["AUTO", "LOOSE_TAG", "SCHEMES", "TagError", "TagReader", "is_tag"]

AUTO = "auto"
LOOSE_TAG = "I-X with neither B-X nor I-X before it, read as B-X"

#: Name -> the signs that its tags begin with, O apart; those of ``io`` may be labels alone, so it has to be asked for.
SCHEMES = {
    "bio": "BI", "iob1": "BI", "iob2": "BI", "ioe1": "IE", "ioe2": "IE",
    "io": "I", "bioes": "BIES", "iobes": "BIES", "bmes": "BMES", "bmewo": "BMEW", "bilou": "BILU",
}  # fmt: skip
_ROLES = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S", "W": "S"}
_SIGNS = "".join(_ROLES)
_TAG = re.compile(rf"(?P<sign>[{_SIGNS}{_SIGNS.lower()}])(?P<gap>[-_])(?P<label>\S.*)", re.DOTALL)
_SEVERAL = re.compile(rf"[,;|][{_SIGNS}]-|[/+&][BI]-|[,;|]O$")
_SAME = {"iob2": "bio", "iobes": "bioes"}


class TagError(ValueError):
    """A tag cannot be read.

    Attributes:
        index: of its word.
        tag: as it stands.
        problem: what is wrong with it and what to do; follows ``tag 'X'`` in a sentence.
    """

    def __init__(self, index: int, tag: str, problem: str) -> None:
        super().__init__(f"tag {tag!r:.60} {problem}")
        self.index, self.tag, self.problem = index, tag, problem


class _Chunk(NamedTuple):
    """An entity with what the schemes disagree about."""

    label: str
    start: int
    end: int
    first: str  # role of the first word
    last: str
    follows: bool  # an entity of the same label ends right before it
    is_followed: bool

    def breaks(self, scheme: str) -> bool:
        """Whether the tags are not those that a scheme prescribes."""
        match scheme:
            case "bio":
                return self.first != "B"
            case "io":
                return False
            case "iob1":
                return (self.first == "B") != self.follows
            case "ioe1":
                return (self.last == "E") != self.is_followed
            case "ioe2":
                return self.last != "E"
        return self.first + self.last != ("SS" if self.end - self.start == 1 else "BE")


class TagReader:
    """Reads the tags of sentences, and says afterwards in which scheme they were and what was repaired.

    Args:
        scheme: a key of :data:`SCHEMES`; ``auto`` takes all and finds out.

    >>> reader, tally = TagReader(), Tally()
    >>> [entity.flat for entity in reader.entities(["B-PER", "E-PER", "O", "S-LOC"], lambda word: f"line {word + 1}")]
    [[0, 2], [3, 4]]
    >>> reader.report(tally)
    >>> tally.lines()
    ['2 x entity tagged in the scheme BIOES (line 1, line 4)']
    """

    def __init__(self, scheme: str = AUTO) -> None:
        self._forced = None if scheme == AUTO else _SAME.get(scheme, scheme)
        self._allowed = _SIGNS if scheme == AUTO else SCHEMES[scheme]
        self._seen: dict[str, tuple[str, str]] = {"O": ("O", "")}  # tag -> role, label
        self._examples: dict[bool, str] = {}  # whether tags are in lower case -> the first such tag
        self._signs: set[str] = set()
        self._oddities = Tally()
        names = [self._forced] if self._forced else [name for name in SCHEMES if name not in (*_SAME, "io")]
        # BIOES and its kin follow the same rules and differ by their signs alone.
        rules = dict.fromkeys("bioes" if name in ("bmes", "bmewo", "bilou") else name for name in names)
        self._breaks = {name: Tally() for name in rules}
        self._entities = Tally()

    def entities(self, tags: Sequence[str], place: Callable[[int], str]) -> list[Entity]:
        """The entities of a sentence.

        Args:
            tags: one for every word.
            place: of a word, by its index, for the counts.

        Raises:
            TagError: a tag is of no scheme, or not of that which was asked for.
        """
        chunks = list(_chunks([self._role(tag, index, place) for index, tag in enumerate(tags)]))
        for chunk in chunks:
            _count(self._entities, "", chunk.start, place)
            for scheme, tally in self._breaks.items():
                if chunk.breaks(scheme):
                    _count(tally, "", chunk.start, place)
        return [Entity(chunk.label, (Segment(chunk.start, chunk.end),)) for chunk in chunks]

    def report(self, tally: Tally) -> None:
        """Add what all tags so far showed: a scheme other than BIO, and what was repaired."""
        scheme = self._scheme()
        name = self._name(scheme)
        if name != "BIO":
            _take(tally, self._entities, f"entity tagged in {name}")
        broken = f"entity whose tags {name} does not allow, read all the same"
        _take(tally, self._breaks[scheme], LOOSE_TAG if scheme == "bio" else broken)
        tally.merge(self._oddities)

    def _role(self, tag: str, index: int, place: Callable[[int], str]) -> tuple[str, str]:
        found = self._seen.get(tag)
        if found is None:
            found = self._parsed(tag, index)
            if self._forced == "io" or (tag[0].isupper() and tag[1] == "-"):
                self._seen[tag] = found  # an ordinary tag needs no second look
            else:
                self._note(tag, index, place)
        return found

    def _note(self, tag: str, index: int, place: Callable[[int], str]) -> None:
        if tag[0].islower():
            _count(self._oddities, "tag in lower case, its sign read as in upper case", index, place)
        if tag[1:2] == "_":
            _count(self._oddities, "tag with '_' after its sign, read as '-'", index, place)

    def _parsed(self, tag: str, index: int) -> tuple[str, str]:
        if tag == "o":
            return "O", ""
        match = _TAG.fullmatch(tag)
        if self._forced == "io" and tag and (match is None or match["sign"] != "I"):
            return "I", tag
        if match is None or _SEVERAL.search(tag):
            raise TagError(index, tag, _problem(tag))
        sign = match["sign"].upper()
        if sign not in self._allowed:
            raise TagError(
                index,
                tag,
                f"is not of the scheme {str(self._forced).upper()}, which was asked for. "
                f"Expected O or a tag that begins with one of {', '.join(self._allowed)}. Ask for another scheme.",
            )
        is_lower = match["sign"].islower()
        if other := self._examples.get(not is_lower):
            raise TagError(
                index,
                tag,
                f"is in another case than {other!r}. Expected the same case everywhere, since labels in different case "
                "are different labels. Write them alike.",
            )
        self._examples.setdefault(is_lower, tag)
        self._signs.add(sign)
        return _ROLES[sign], match["label"]

    def _scheme(self) -> str:
        """The rules that fit all tags so far best; BIO in doubt."""
        if len(self._breaks) == 1:
            return next(iter(self._breaks))
        roles = {_ROLES[sign] for sign in self._signs}
        if "S" in roles or {"B", "E"} <= roles:
            return "bioes"
        candidates = ("ioe2", "ioe1") if "E" in roles else ("bio", "iob1")
        return min(candidates, key=lambda name: self._breaks[name].counts.total())

    def _name(self, scheme: str) -> str:
        """What the scheme is called, by the signs that were seen."""
        if self._forced:
            return self._forced.upper() if self._forced == "bio" else f"the scheme {self._forced.upper()}"
        if scheme != "bioes":
            return "BIO" if scheme == "bio" else f"the scheme {scheme.upper()}"
        fitting = [name for name in ("bioes", "bmes", "bmewo", "bilou") if self._signs <= set(SCHEMES[name])]
        mixture = f"a mixture of schemes ({', '.join(sorted(self._signs))})"
        return f"the scheme {fitting[0].upper()}" if fitting else mixture


def is_tag(text: str) -> bool:
    """Whether a text is O or a tag of one of the schemes."""
    return text in ("O", "o") or (_TAG.fullmatch(text) is not None and not _SEVERAL.search(text))


def _chunks(tags: Sequence[tuple[str, str]]) -> Iterator[_Chunk]:
    """The entities of roles and labels."""
    bounds: list[tuple[str, int, int]] = []
    before = "O"
    for index, (role, label) in enumerate(tags):
        if role != "O":
            if bounds and before in "BI" and role in "IE" and bounds[-1][0] == label:
                bounds[-1] = (label, bounds[-1][1], index + 1)
            else:
                bounds.append((label, index, index + 1))
        before = role
    for number, (label, start, end) in enumerate(bounds):
        left = bounds[number - 1] if number else None
        right = bounds[number + 1] if number + 1 < len(bounds) else None
        follows = left is not None and left[0] == label and left[2] == start
        is_followed = right is not None and right[0] == label and right[1] == end
        yield _Chunk(label, start, end, tags[start][0], tags[end - 1][0], follows, is_followed)


def _count(tally: Tally, reason: str, index: int, place: Callable[[int], str]) -> None:
    """Count; the place is only made where it will be shown."""
    tally.add(reason, place(index) if len(tally.places.get(reason, ())) < N_PLACES else tally.places[reason][0])


def _take(tally: Tally, found: Tally, reason: str) -> None:
    """Add what was counted without a reason, under ``reason``."""
    if found.counts:
        renamed = Tally()
        renamed.counts[reason], renamed.places[reason] = found.counts[""], found.places[""]
        tally.merge(renamed)


def _problem(tag: str) -> str:
    """The problem of a tag that is of no scheme, and what to do."""
    if _SEVERAL.search(tag):
        return "holds several tags. Expected one label per word. Keep one, or use a nested file (--kind nested)."
    if re.fullmatch(rf"[{_SIGNS}{_SIGNS.lower()}][-_]?", tag):
        return f"has no type. Expected O, or a sign and a type, such as B-type. Add a type, e.g. {tag[0].upper()}-ENT."
    return "is not a BIO tag, nor of a scheme akin to it. Expected O, B-type or I-type."
