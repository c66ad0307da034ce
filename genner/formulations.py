"""The table of formulations: how each makes of a corpus batches, a task for the Trainer and a portable model folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch import Tensor, nn

from genner import patches  # noqa: F401  before fastNLP
from genner.config import Order, Recipe, recipe_yaml
from genner.data.alignment import WordTokenizer
from genner.data.batching import collate_pointer
from genner.data.bundle import LoadedCorpus
from genner.data.cache import CACHES
from genner.data.codecs.pointer import EOS, PointerCodec, PointerVocab
from genner.data.labels import LabelSet
from genner.data.pipe import PipeConfig, PipeReport, PointerPipe
from genner.data.schema import Segment
from genner.errors import ConfigError
from genner.model.checkpoint import SavedModel, load_model, save_model
from genner.model.drafts import DRAFT_UNITS
from genner.model.entity_scores import check_scores, mass_of_entities, symbol_scores
from genner.model.generation import (
    AnyPiece,
    GenerationConfig,
    Hypothesis,
    PointerConstraint,
    PreparedBatch,
    search_all,
)
from genner.model.pointer import PointerConfig, PointerModel
from genner.model.sources import load_backbone, load_tokenizer
from genner.training.predictions import Prediction

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "FORMULATIONS",
    "Formulation",
    "PointerFormulation",
    "PointerTask",
    "Predictor",
    "Rows",
    "formulation_of",
]


_MANY_WORDS, _FEW_WORDS = 1_000_000, 20_000  # whose pieces are remembered in training and in prediction


class Rows(Protocol):
    """What a formulation makes of a split: a sequence of the fields by name, and how long the rows are."""

    lengths: np.ndarray  # (rows,) source pieces
    target_lengths: np.ndarray  # (rows,) symbols

    def __len__(self) -> int: ...

    def __getitem__(self, idx: int) -> dict[str, Any]: ...


class Formulation(Protocol):
    """What a formulation offers. A new one is a codec, a model, a class like this and its row in the table."""

    reports: Mapping[str, PipeReport]
    notes: list[str]

    def prepare(self, corpus: LoadedCorpus, labels: LabelSet, seed: int | None) -> Mapping[str, Rows]:
        """Rows by split; without a seed only the data is looked at, no weights are loaded.

        Fills ``reports`` (by split) and ``notes`` (what a user should know about the backbone).
        """

    def collate(self, instances: list[dict[str, Any]]) -> dict[str, Any]:
        """One batch."""

    def build_task(self) -> nn.Module:
        """The module for the Trainer: ``train_step``, ``evaluate`` and ``parameter_groups``."""

    def save(self, folder: Path) -> None:
        """Write the portable model folder."""

    def load_task(self, folder: Path, *, constrained: bool) -> nn.Module:
        """A task with the weights of such a folder, whose output is held to the formulation's grammar or not."""

    def restore(self, folder: Path, *, scores: str = "symbols", candidates: bool = False) -> Predictor:
        """What such a folder holds, for sentences that no corpus brings; nothing has to be prepared before.

        ``scores`` and ``candidates`` say what a score is and which entities are handed out, see :class:`PointerTask`.
        """


class EncodedPassage(Protocol):
    """The words of a passage as a model takes them."""

    lens: Sequence[int]  # pieces of every word

    def row(self, window: Segment, idx: int) -> dict[str, Any]:
        """The fields of some words, which answers will call ``example_idx`` ``idx``; they count from the window."""


class Predictor(Protocol):
    """A trained model and what it takes to read new sentences."""

    labels: LabelSet
    task: nn.Module  # with ``evaluate`` and a ``model``
    max_pieces: int | None  # of the words of a window
    n_special: int  # pieces around them

    def encode(self, passages: Sequence[Sequence[str]]) -> Sequence[EncodedPassage]:
        """Passages with one word at least each."""

    def collate(self, instances: list[dict[str, Any]]) -> dict[str, Any]:
        """One batch."""


class PointerFormulation:
    """Pointer symbols over source pieces, written by BART or T5 (Yan et al., 2021)."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.reports: dict[str, PipeReport] = {}
        self.notes: list[str] = []

    def prepare(self, corpus: LoadedCorpus, labels: LabelSet, seed: int | None) -> Mapping[str, Rows]:
        """Load the backbone (its tokenizer only, without a seed) and encode every split."""
        recipe, self.labels = self.recipe, labels
        words = (example.words for example in corpus.examples["train"])
        if seed is None:
            tokenizer, max_pieces, self.notes = load_tokenizer(recipe.backbone, corpus_words=words)
        else:
            self.backbone = load_backbone(recipe.backbone, corpus_words=words, seed=seed)
            tokenizer, max_pieces = self.backbone.tokenizer, self.backbone.max_positions
        asked = [limit for limit in (max_pieces, recipe.data.max_pieces) if limit is not None]
        self.word_tokenizer, self.codec = _tools(recipe, tokenizer, labels)
        config = PipeConfig(
            on_too_long=recipe.data.on_too_long.value,
            max_pieces=min(asked, default=None),
            max_symbols=max_pieces,
            use_cache=recipe.data.cache,
            cache_dir=CACHES,
        )
        pipe = PointerPipe(self.word_tokenizer, self.codec, config)
        rows = pipe.encode_splits(corpus.examples)
        self.reports = pipe.reports
        return rows

    def collate(self, instances: list[dict[str, Any]]) -> dict[str, Any]:
        """Padded tensors of one batch, see :func:`genner.data.batching.collate_pointer`."""
        return collate_pointer(instances, self.word_tokenizer.pad_id)

    def build_task(self) -> PointerTask:
        """The model on the prepared backbone, and its search."""
        recipe = self.recipe
        shape = PointerConfig(
            decoder_type=recipe.model.decoder_type.value,
            encoder_mlp=recipe.model.encoder_mlp,
            dropout=recipe.model.dropout,
            word_dropout=recipe.model.word_dropout,
            draft_unit=recipe.codec.unit.value if _can_draft(recipe) else None,
            compat=recipe.is_reference,
        )
        self.model = PointerModel(self.backbone, self.labels.words, shape)
        return PointerTask(self.model, self.codec, generation_config(recipe))

    def save(self, folder: Path) -> None:
        """Write the model folder with labels and recipe."""
        save_model(folder, self.model, self.labels, recipe_yaml(self.recipe))

    def load_task(self, folder: Path, *, constrained: bool) -> PointerTask:
        """The saved model, and its search with or without the constraint."""
        generation = replace(generation_config(self.recipe), constrained=constrained)
        return PointerTask(load_model(folder).model, self.codec, generation)

    def restore(self, folder: Path, *, scores: str = "symbols", candidates: bool = False) -> PointerPredictor:
        """The saved model for new sentences; the search is that of the recipe."""
        return PointerPredictor(load_model(folder), self.recipe, scores=scores, candidates=candidates)


class PointerTask(nn.Module):
    """The pointer model as the Trainer sees it: a loss in training, entities in evaluation.

    Args:
        model: scores symbols.
        codec: reads symbols back as entities.
        generation: how symbols are searched.
        scores: what the score of an entity is, one of :data:`genner.model.entity_scores.SCORES`. For ``nbest`` the
            search keeps as many hypotheses as it has beams.
        candidates: ``nbest``: hand out the entities of all hypotheses, each once, not only those of the best.

    Raises:
        ConfigError: the search cannot give such scores.
    """

    def __init__(
        self,
        model: PointerModel,
        codec: PointerCodec,
        generation: GenerationConfig,
        *,
        scores: str = "symbols",
        candidates: bool = False,
    ) -> None:
        super().__init__()
        check_scores(scores, candidates, generation)
        if scores == "nbest":
            generation = replace(generation, n_best=generation.num_beams)
        self.model, self.codec, self.generation = model, codec, generation
        self.scores, self.candidates = scores, candidates
        self.is_ordered = codec.order == "position"  # else another order of the same entities is as good
        n_labels = len(codec.vocab.labels)
        self.constraint: AnyPiece | PointerConstraint = AnyPiece(n_labels)
        if generation.constrained:
            self.constraint = PointerConstraint(codec.unit, n_labels, generation.structure, generation.ordered)

    def parameter_groups(self, weight_decay: float) -> list[dict[str, object]]:
        """The published parameter groups, see :meth:`PointerModel.parameter_groups`."""
        return self.model.parameter_groups(weight_decay)

    def train_step(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Mean cross entropy of the batch and the number of symbols that it is a mean of."""
        fields = ("src_tokens", "src_seq_len", "tgt_tokens", "tgt_seq_len", "first")
        loss = self.model(*(batch[name] for name in fields))["loss"]
        return {"loss": loss, "weight": (batch["tgt_seq_len"] - 1).sum()}

    def generate(self, batches: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, list[Hypothesis]]]:
        """Search the symbols of every sentence of many batches; see :func:`genner.model.generation.search_all`."""
        return search_all(self.model, map(self._started, batches), self.generation)

    def evaluate(self, batches: Iterable[Mapping[str, Any]]) -> Iterator[Prediction]:
        """Entities of every sentence, each with its score, as sentences are done."""
        waiting: dict[int, tuple] = {}
        for number, hypotheses in self.generate(_remembered(batches, waiting)):
            yield self._read(hypotheses, *waiting.pop(number))

    def _started(self, batch: Mapping[str, Any]) -> PreparedBatch:
        src_tokens, src_seq_len = batch["src_tokens"], batch["src_seq_len"]
        lead, tail = self.model.backbone.lead, self.model.backbone.tail
        limits = self.generation.limits(src_seq_len)
        if (room := self.model.backbone.max_positions) is not None:
            limits = limits.clamp(max=room)
        first = batch["first"]
        begin = self.constraint.start(first, src_seq_len, lead, tail, limits, src_tokens.shape[1])
        return PreparedBatch(self.model.start(src_tokens, src_seq_len, first), begin, limits)

    def _read(
        self,
        hypotheses: Sequence[Hypothesis],
        bounds: Sequence[int],
        example_idx: int,
        word_offset: int,
        gold: list[int] | None,
    ) -> Prediction:
        found = hypotheses[0]
        decoded = self.codec.decode(found.ids, bounds)
        entities = decoded.entities
        if self.scores == "symbols":
            scores = symbol_scores(found, decoded)
        else:
            others = [self.codec.decode(other.ids, bounds).entities for other in hypotheses[1:]]
            mass = mass_of_entities([one.logprob for one in hypotheses], [entities, *others])
            entities = list(mass) if self.candidates else entities
            scores = [mass[entity] for entity in entities]
        return Prediction(
            example_idx=example_idx,
            entities=entities,
            scores=scores,
            rejected=[(reject.reason, reject.key) for reject in decoded.rejected],
            exact=_until_end(found.ids) == _until_end(gold) if gold is not None and self.is_ordered else None,
            word_offset=word_offset,
        )


@dataclass(frozen=True, slots=True)
class _EncodedWords:
    """See :class:`EncodedPassage`."""

    piece_ids: list[int]
    bounds: list[int]
    word_tokenizer: WordTokenizer

    @property
    def lens(self) -> list[int]:
        return [end - start for start, end in pairwise(self.bounds)]

    def row(self, window: Segment, idx: int) -> dict[str, Any]:
        tokenizer, bounds = self.word_tokenizer, self.bounds
        piece_ids = tokenizer.enclose(self.piece_ids[bounds[window.start] : bounds[window.end]])
        shift = tokenizer.lead - bounds[window.start]
        inside = [bound + shift for bound in bounds[window.start : window.end + 1]]
        first = list(range(len(piece_ids))) if tokenizer.compat else inside[:-1]
        return {"src_tokens": piece_ids, "first": first, "bounds": inside, "example_idx": idx}


class PointerPredictor:
    """The pointer model for new sentences, see :class:`Predictor`.

    Args:
        saved: the model and its labels.
        recipe: it was trained by.
        scores, candidates: see :class:`PointerTask`.
    """

    def __init__(self, saved: SavedModel, recipe: Recipe, *, scores: str = "symbols", candidates: bool = False) -> None:
        self.labels = saved.labels
        backbone = saved.model.backbone
        self.word_tokenizer, codec = _tools(recipe, backbone.tokenizer, self.labels, _FEW_WORDS)
        self.task = PointerTask(saved.model, codec, generation_config(recipe), scores=scores, candidates=candidates)
        self.n_special = self.word_tokenizer.lead + self.word_tokenizer.tail
        room = backbone.max_positions
        self.max_pieces = None if room is None else room - self.n_special

    def encode(self, passages: Sequence[Sequence[str]]) -> list[EncodedPassage]:
        """Pieces of the words."""
        columns = self.word_tokenizer.align_columns(passages)
        return [_EncodedWords(*row, self.word_tokenizer) for row in zip(*columns, strict=True)]

    def collate(self, instances: list[dict[str, Any]]) -> dict[str, Any]:
        """Padded tensors, see :func:`genner.data.batching.collate_pointer`."""
        return collate_pointer(instances, self.word_tokenizer.pad_id)


def _tools(
    recipe: Recipe, tokenizer: PreTrainedTokenizerBase, labels: LabelSet, max_remembered: int = _MANY_WORDS
) -> tuple[WordTokenizer, PointerCodec]:
    """What turns words into pieces, and entities into symbols and back."""
    unit, order, compat = recipe.codec.unit.value, recipe.codec.order.value, recipe.is_reference
    words = WordTokenizer(tokenizer, compat=compat, label_words=labels.words, max_remembered=max_remembered)
    return words, PointerCodec(PointerVocab(labels.tags), unit, compat=compat, order=order)


def _remembered(batches: Iterable[Mapping[str, Any]], rows: dict[int, tuple]) -> Iterator[Mapping[str, Any]]:
    """The batches; of every sentence, ``rows`` gets what its answer has to be read with, by its number."""
    n_before = 0
    for batch in batches:
        size = len(batch["bounds"])
        golds = batch["tgt_tokens"].tolist() if "tgt_tokens" in batch else [None] * size
        offsets = batch.get("word_offset") or [0] * size
        columns = zip(batch["bounds"], batch["example_idx"], offsets, golds, strict=True)
        rows.update(enumerate(columns, n_before))
        n_before += size
        yield batch


def generation_config(recipe: Recipe) -> GenerationConfig:
    """The search of a recipe."""
    settings = recipe.generation
    return GenerationConfig(
        max_len=settings.max_len,
        max_len_ratio=settings.max_len_ratio,
        num_beams=settings.num_beams,
        length_penalty=settings.length_penalty,
        repetition_penalty=settings.repetition_penalty,
        draft_len=settings.draft_len,
        draft_rows=settings.draft_rows,
        constrained=bool(settings.constrained),
        ordered=recipe.codec.order is Order.position,
        structure=recipe.kind.value,
        compat=recipe.is_reference,
    )


def _can_draft(recipe: Recipe) -> bool:
    return recipe.model.draft_head and not recipe.is_reference and recipe.codec.unit.value in DRAFT_UNITS


FORMULATIONS: dict[str, Callable[[Recipe], Formulation]] = {"pointer": PointerFormulation}


def formulation_of(recipe: Recipe) -> Formulation:
    """The formulation that a recipe names; raises :class:`ConfigError` naming those that exist."""
    if recipe.formulation not in FORMULATIONS:
        known = ", ".join(FORMULATIONS)
        raise ConfigError(f"formulation: unknown name {recipe.formulation!r}. Expected one of {known}.")
    return FORMULATIONS[recipe.formulation](recipe)


def _until_end(symbols: list[int]) -> list[int]:
    return symbols[: symbols.index(EOS) + 1] if EOS in symbols else symbols
