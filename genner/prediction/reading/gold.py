"""Known entities of an input: out of examples of our corpora, or out of annotations on characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from genner.data.schema import Entity, Example, Segment, sort_entities
from genner.data.text import Mention, mention_segments
from genner.prediction.reading.files import Reading
from genner.prediction.results import TextInput, place_entity, words_joined

__all__ = ["example_input", "with_mentions"]


def example_input(examples: Sequence[Example], name: str) -> TextInput:
    """The sentences of a document as one input: words joined by blanks.

    Args:
        examples: its sentences.
        name: the id.
    """
    sentences, entities, words = [], [], []
    for example in examples:
        start = len(words)
        words += example.words
        sentences.append(Segment(start, len(words)))
        entities += [entity.shifted(start) for entity in example.entities]
    given = words_joined(words, id=name, sentences=tuple(sentences))
    return replace(given, gold=tuple(place_entity(entity, given.text, given.words) for entity in entities))


def with_mentions(given: TextInput, mentions: Sequence[Mention], reading: Reading) -> TextInput:
    """An input with annotations on characters as its gold entities; they are widened to whole words.

    Args:
        given: has words, or they are found, since the model's entities consist of words.
        mentions: the annotations.
        reading: counts what was changed or left out.
    """
    if given.words is None:
        words, sentences = reading.words_of(given.text)
        given = replace(given, words=words, sentences=sentences)
    found: dict[Entity, None] = {}
    for mention in mentions:
        if max(end for _, end in mention.fragments) > len(given.text):
            reading.tally.add("annotation that ends after its text, dropped", mention.place)
            continue
        segments = mention_segments(mention, given.words, reading.tally)
        entity = Entity(mention.label, segments)
        if segments and entity in found:
            reading.tally.add("duplicate annotation, counted once", mention.place)
        elif segments:
            found[entity] = None
    return replace(given, gold=tuple(place_entity(one, given.text, given.words) for one in sort_entities(found)))
