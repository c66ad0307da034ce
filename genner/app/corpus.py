"""From a recipe to a checked corpus, its tables, and the identity of a run on it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from itertools import chain, pairwise

from genner.config import Kind, Recipe, corpus_folder, recipe_path, scoring_settings
from genner.data.bundle import LoadedCorpus, SplitRules, load_bundle, load_cached
from genner.data.cache import CACHES
from genner.data.demo import write_demo
from genner.data.fingerprints import compare
from genner.data.labels import LabelSet
from genner.data.loaders import LoaderOptions
from genner.data.records import shown
from genner.data.schema import Entity
from genner.data.splits import DEV_SHARE
from genner.data.statistics import SplitStatistics, corpus_notes
from genner.errors import DataFormatError
from genner.evaluation.report import split_table
from genner.formulations.base import Encoded
from genner.model.folder import ModelFolder
from genner.training.identity import RunIdentity
from genner.training.results import versions

__all__ = ["check_corpus", "check_text", "identity_of", "label_set", "open_corpus"]

logger = logging.getLogger(__name__)

_DEMO = CACHES / "demo"
_MOST_LABELS = 20  # in a message
#: Settings whose whole effect is which sentences a split has; the splits' digests tell it.
_IN_THE_DIGESTS = ("data.dev_share", "data.test_share", "data.share_seed")


def open_corpus(recipe: Recipe) -> LoadedCorpus:
    """Read the whole splits of a recipe, or map those cached before (``data.cache``); the demo is generated.

    :func:`check_corpus` looks at them and applies ``data.limit``.

    Raises:
        DataFormatError: a file is missing, empty or cannot be read.
    """
    folder = corpus_folder(recipe)
    if recipe.dataset == "demo" and recipe.data.root is None:
        folder = _DEMO
        write_demo(folder)
    data = recipe.data
    options = LoaderOptions(
        compat=recipe.is_reference,
        max_words=data.max_words,
        word_column=data.word_column,
        tag_column=data.tag_column,
        sentence_column=data.sentence_column,
        delimiter=data.delimiter,
        scheme=data.scheme.value,
        comments=data.comments.value,
    )
    rules = SplitRules(
        train_on_dev=data.train_on_dev,
        dev_every=data.dev_every,
        dev_size=data.dev_size,
        dev_share=_dev_share(recipe),
        test_share=data.test_share,
        share_seed=data.share_seed,
        needs_test=_is_published(recipe),
        unlabelled_test=data.unlabelled_test,
    )
    if data.cache:
        return load_cached(folder, data.loader, options, rules, cache_dir=CACHES)
    return load_bundle(folder, data.loader, options, rules)


def _dev_share(recipe: Recipe) -> float:
    """The share of train that becomes dev if there is no file for it, and nothing else says where dev comes from."""
    data = recipe.data
    if data.dev_share is not None:
        return data.dev_share
    return 0.0 if _is_published(recipe) or data.train_on_dev or data.dev_every else DEV_SHARE


def _is_published(recipe: Recipe) -> bool:
    """Whether the data set has a published recipe: its numbers hold for its own splits only."""
    return recipe.is_reference or (recipe.dataset != "demo" and recipe_path(recipe.dataset).is_file())


def check_corpus(recipe: Recipe, corpus: LoadedCorpus) -> tuple[LoadedCorpus, LabelSet, dict[str, SplitStatistics]]:
    """Check the whole corpus, then limit it to ``data.limit`` sentences per split.

    Returns:
        the limited corpus, the label set of the whole one, and the statistics of every split of the limited one.

    Raises:
        DataFormatError: it has no entities, a label that train lacks, or entities that the kind cannot represent.
    """
    labels = label_set(recipe, corpus)
    _check_labels(recipe, corpus.statistics)
    if not recipe.is_reference:
        _check_kind(recipe, corpus)
    if recipe.data.limit is not None:
        corpus = corpus.limited(recipe.data.limit)
    return corpus, labels, corpus.statistics


def label_set(recipe: Recipe, corpus: LoadedCorpus) -> LabelSet:
    """The labels of all splits, sorted; in compat mode as the reference numbers them."""
    if recipe.is_reference:
        labels = LabelSet.collect(corpus.examples.values(), recipe.labels, first_seen_order=True)
    else:
        tags = chain.from_iterable(stats.labels for stats in corpus.statistics.values())
        labels = LabelSet.from_tags(sorted(set(tags)), recipe.labels)
    if not len(labels):
        raise DataFormatError(
            f"{recipe.dataset}: no entity in any split. Expected at least one label to learn. "
            "Check the tag column (data.tag_column) or the loader (data.loader)."
        )
    return labels


def check_text(
    recipe: Recipe, corpus: LoadedCorpus, statistics: Mapping[str, SplitStatistics], encoded: Encoded
) -> str:
    """The tables of all splits and the notes below them; ``encoded`` is what the formulation made of the corpus."""
    parts = []
    for split in corpus.examples:
        found = encoded.splits[split]
        # A file that became part of train, such as that of dev, has its repairs there.
        files = [split, *(name for name in corpus.reports if name not in corpus.examples and split == "train")]
        repairs = [line for name in files if name in corpus.reports for line in corpus.reports[name].lines()]
        changes, about = [*repairs, *found.changes], statistics[split].to_dict()
        oracle_f = None if split in corpus.unlabelled else found.oracle_f
        parts.append(split_table(split, about, lengths=found.lengths, oracle_f=oracle_f, changes=changes))
    verdict = compare(recipe.dataset, statistics) if recipe.data.limit is None else []
    strangers = encoded.labels.strangers(recipe.labels)
    known = {split: stats for split, stats in statistics.items() if split not in corpus.unlabelled}
    notes = [*verdict, *corpus.notes, *strangers, *corpus_notes(known), *encoded.notes]
    target = recipe.settings.describe()
    title = [f"{recipe.dataset}: {recipe.kind.value}", *([f"{target} targets"] if target else []), recipe.backbone]
    return "\n\n".join([", ".join(title), *parts, *(["\n".join(f"note: {note}" for note in notes)] if notes else [])])


def identity_of(recipe: Recipe, corpus: LoadedCorpus, labels: LabelSet) -> RunIdentity:
    """What another run must share with one of ``recipe`` (resolved) on ``corpus`` (limited) to be the same.

    A model that training starts from counts by its content, wherever it lies.

    Raises:
        DataFormatError: that model cannot be read, or is not there.
    """
    settings = {key: value for key, value in scoring_settings(recipe).items() if key not in _IN_THE_DIGESTS}
    if (start := ModelFolder.of_backbone(recipe.backbone)) is not None:
        settings["backbone"] = f"model {start.digest()}"
    elif _is_path(recipe.backbone) and not os.path.isdir(os.path.expanduser(recipe.backbone)):
        raise DataFormatError(
            f"{recipe.backbone}: no such model folder. Expected what training starts from. Name it with --backbone."
        )
    return RunIdentity(settings, corpus.fingerprint, labels.tags, versions())


def _is_path(backbone: str) -> bool:
    """Whether a backbone can only be a folder, not a name on the hub or a size of random weights."""
    return backbone.startswith((".", "~", os.sep)) or backbone.count("/") > 1


def _check_labels(recipe: Recipe, statistics: Mapping[str, SplitStatistics]) -> None:
    for split, stats in statistics.items():
        if not stats.unseen_labels:
            continue
        unknown = list(stats.unseen_labels)
        names = ", ".join([*map(shown, unknown[:_MOST_LABELS]), *["..."] * (len(unknown) > _MOST_LABELS)])
        message = f"{recipe.dataset}: {split} has the labels [{names}], which train lacks. They cannot be learned."
        if not recipe.data.allow_unseen_labels:
            raise DataFormatError(
                f"{message} Expected every label in train. Correct the split, or set data.allow_unseen_labels=true to "
                "score them as missed."
            )
        logger.warning(message)


def _check_kind(recipe: Recipe, corpus: LoadedCorpus) -> None:
    """Refuse entities that this kind cannot represent."""
    for split, stats in corpus.statistics.items():
        # Duplicates of an entity do not overlap: it is written once.
        overlapping = stats.nested + stats.same_span + stats.crossing
        if recipe.kind is Kind.discontinuous or not (stats.discontinuous or (overlapping and recipe.kind is Kind.flat)):
            continue
        for number, example in enumerate(corpus.examples[split], 1):
            found, needed = _beyond(example.entities, recipe.kind)
            if found is not None:
                raise DataFormatError(
                    f"{recipe.dataset}: {split}, sentence {number}: {found.label} {found.flat} is {needed}, which "
                    f"kind {recipe.kind.value} cannot hold. Expected {recipe.kind.value} entities. Set --kind {needed}."
                )


def _beyond(entities: Sequence[Entity], kind: Kind) -> tuple[Entity | None, str]:
    """The first entity that a kind cannot hold, and the kind that can."""
    for entity in entities:
        if entity.is_discontinuous:
            return entity, "discontinuous"
    if kind is Kind.flat:
        ordered = sorted(entities, key=lambda entity: entity.start)
        for left, right in pairwise(ordered):
            if right.start < left.end:
                return right, "nested"
    return None, ""
