"""The label set of a dataset: its tags in a fixed order and the words that initialise their embeddings."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from genner.data.schema import Example
from genner.errors import ConfigError, DataFormatError

__all__ = ["LabelSet"]


@dataclass(frozen=True)
class LabelSet:
    """Dataset tags, in symbol order, each with natural words for it.

    >>> labels = LabelSet.from_tags(["PER", "LOC"], {"loc": "location"})
    >>> labels.tags, labels.words, labels.index("LOC")
    (('PER', 'LOC'), ('per', 'location'), 1)
    """

    tags: tuple[str, ...]
    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.tags)) != len(self.tags):
            raise ConfigError(f"labels: a tag twice in {list(self.tags)}. Expected every tag once. Remove one.")

    def __len__(self) -> int:
        return len(self.tags)

    @classmethod
    def from_tags(cls, tags: Iterable[str], words: Mapping[str, str] | None = None) -> LabelSet:
        """Label set of ``tags`` in the given order; ``words`` maps tags (in any case) to natural words.

        The default word of a tag is the tag itself in lower case.
        """
        tags = tuple(tags)
        by_tag = {tag.casefold(): word for tag, word in (words or {}).items()}
        return cls(tags, tuple(by_tag.get(tag.casefold(), tag.lower()) for tag in tags))

    @classmethod
    def collect(
        cls,
        splits: Iterable[Iterable[Example]],
        words: Mapping[str, str] | None = None,
        *,
        first_seen_order: bool = False,
    ) -> LabelSet:
        """Collect the tags of all splits, sorted; ``first_seen_order`` numbers them as the reference does.

        With ``first_seen_order``, the tags of a non-empty ``words`` come first, in its order, as in the reference's
        mappings; other tags follow.
        """
        seen = {entity.label: None for split in splits for example in split for entity in example.entities}
        if not first_seen_order:
            return cls.from_tags(sorted(seen), words)
        given = dict.fromkeys(tag.lower() for tag in words or {})
        return cls.from_tags(given | seen, words)

    def strangers(self, words: Mapping[str, str]) -> list[str]:
        """Sentences on the keys of ``words`` that are no tags, with the tag that was probably meant."""
        known = {tag.casefold(): tag for tag in self.tags}
        notes = []
        for name in words:
            if name.casefold() not in known:
                near = difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.4)
                hint = f" (did you mean {known[near[0]]!r}?)" if near else f" (there are {', '.join(self.tags)})"
                notes.append(f"labels: no split has the label {name!r}{hint}; its words {words[name]!r} are not used.")
        return notes

    def index(self, tag: str) -> int:
        """Position of ``tag``; raises :class:`DataFormatError` naming the known tags."""
        try:
            return self.tags.index(tag)
        except ValueError:
            raise DataFormatError(
                f"label {tag!r}: not in the label set. Expected one of {list(self.tags)}. Correct the tag."
            ) from None

    def to_records(self) -> list[dict[str, str]]:
        """A list of ``{"tag", "words"}`` in symbol order, for JSON."""
        return [{"tag": tag, "words": words} for tag, words in zip(self.tags, self.words, strict=True)]

    @classmethod
    def from_records(cls, records: Iterable[Mapping[str, str]]) -> LabelSet:
        """What :meth:`to_records` gave; raises KeyError or TypeError for anything else."""
        records = list(records)
        return cls(tuple(row["tag"] for row in records), tuple(row["words"] for row in records))
