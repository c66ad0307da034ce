"""The pointer formulation: pointer symbols over source pieces, written by BART or T5 (Yan et al., 2021)."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

import genner.patches  # noqa: F401  before fastNLP
from genner.config import Recipe
from genner.data.alignment import WordTokenizer
from genner.data.bundle import LoadedCorpus
from genner.data.cache import CACHES
from genner.data.codecs.pointer import EOS, Decoded, PointerCodec, PointerVocab
from genner.data.encoded import EncodedSplit as PointerRows
from genner.data.encoded import collate_pointer
from genner.data.labels import LabelSet
from genner.data.pipe import PipeConfig, PipeReport, PointerPipe
from genner.errors import ConfigError
from genner.formulations.base import Batch, Encoded, EncodedSplit, ReadOptions, Task
from genner.formulations.passages import read_passages
from genner.formulations.pointer.rows import EncodedWords, collate_allowed, remembered
from genner.formulations.pointer.settings import LabelWords, OpenSettings, Settings
from genner.formulations.undecided import Undecided
from genner.model.checkpoint import labels_taken, load_model, save_model, warm_model
from genner.model.drafts import DRAFT_UNITS
from genner.model.entity_scores import check_scores, mass_of_entities, symbol_scores
from genner.model.folder import ModelFolder, damaged
from genner.model.generation import AnyPiece, GenerationConfig, Hypothesis, PointerConstraint, PreparedBatch, search_all
from genner.model.linear import lighten
from genner.model.pointer import PointerConfig, PointerModel
from genner.model.sources import load_backbone, load_tokenizer
from genner.training.job import LossSum
from genner.training.predictions import Prediction

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Formulation", "PointerTask", "Target"]

_MANY_WORDS, _FEW_WORDS = 1_000_000, 20_000  # whose pieces are remembered in training and in prediction
#: What dev decides between, beside 0.
GIVE_UP_VALUES = (0.1, 0.2, 0.5, 1.0)
EOS_PENALTIES = (1.0, 2.0)
_USUAL_PIECES, _SMALLEST_WINDOW = 512, 16  # of a window
_CHANGES = {
    "unknown_words": "words without any piece, replaced by the unknown piece",
    "lookalikes": "words that look like special pieces, read as plain text",
    "split_sentences": "sentences too long for the backbone, split between entities",
    "dropped_sentences": "sentences too long for the backbone, dropped",
    "dropped_entities": "entities dropped with them",
}


@dataclass(frozen=True)
class Target:
    """What decides how entities become symbols, beside the labels.

    Attributes:
        unit: what pointers point at.
        order: of the entities of a sentence.
        kind: ``flat``, ``nested`` or ``discontinuous``, which the constraint keeps to.
        compat: as the reference does it.
        masked: the model is trained to choose among what the constraint allows.
        longest_source: pieces of the longest sentence of the training, special pieces included.
    """

    unit: str = "word"
    order: str = "position"
    kind: str = "flat"
    compat: bool = False
    masked: bool = False
    longest_source: int = 0

    def generation(self, search: Any, n_best: int = 1) -> GenerationConfig:
        """The search for such symbols; ``search`` is one of the settings' classes."""
        names = {field.name for field in fields(GenerationConfig)} & {field.name for field in fields(search)}
        return GenerationConfig(
            **{name: getattr(search, name) for name in names - {"constrained", "give_up", "eos_penalty", "masked"}},
            constrained=bool(search.constrained),
            give_up=search.give_up or 0.0,
            eos_penalty=(search.eos_penalty or 0.0) if search.constrained else 0.0,
            masked=self.masked,
            structure=self.kind,
            compat=self.compat,
            n_best=n_best,
        )


class Formulation:
    """See :class:`genner.formulations.base.Formulation`."""

    Open: ClassVar = OpenSettings
    FOR_CANDIDATES: ClassVar = {"scores": "nbest", "candidates": True, "num_beams": 8}

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.settings: Settings = recipe.settings

    def encode(self, corpus: LoadedCorpus, labels: LabelSet) -> Encoded:
        """Encode every split with the backbone's tokenizer; loads no weights."""
        recipe, settings = self.recipe, self.settings
        if settings.label_words is LabelWords.tags:
            labels = replace(labels, words=tuple(tag.lower() for tag in labels.tags))
        words = (example.words for example in corpus.examples["train"])
        tokenizer, max_pieces, notes = load_tokenizer(recipe.backbone, corpus_words=words)
        config = PipeConfig(
            on_too_long=recipe.data.on_too_long.value,
            max_pieces=min((n for n in (max_pieces, recipe.data.max_pieces) if n is not None), default=None),
            max_symbols=max_pieces,
            use_cache=recipe.data.cache,
            cache_dir=CACHES,
        )
        pipe = PointerPipe(*_tools(self._target(), tokenizer, labels, _MANY_WORDS), config)
        splits = pipe.encode_splits(corpus.examples)
        encoded = {split: _described(rows, pipe.reports[split]) for split, rows in splits.items()}
        notes = [*self._limit_notes(splits), *notes, *_start_notes(recipe.backbone, labels)]
        return Encoded(encoded, labels, notes, tools=tokenizer)

    def build(self, encoded: Encoded, seed: int) -> PointerTask:
        """The model on its backbone, or from the weights of an earlier one, and its search."""
        recipe, settings = self.recipe, self.settings
        can_draft = settings.draft_head and not recipe.is_reference and settings.unit.value in DRAFT_UNITS
        shape = PointerConfig(
            decoder_type=settings.decoder_type.value,
            encoder_mlp=settings.encoder_mlp,
            dropout=settings.dropout,
            word_dropout=settings.word_dropout,
            sampled_prefix=settings.sampled_prefix,
            draft_unit=settings.unit.value if can_draft else None,
            compat=recipe.is_reference,
        )
        longest = int(encoded.splits["train"].rows.lengths.max(initial=0))
        if (start := ModelFolder.of_backbone(recipe.backbone)) is not None:
            model = warm_model(start, encoded.labels.words, shape)
        else:
            backbone = load_backbone(recipe.backbone, tokenizer=encoded.tools, seed=seed)
            model = PointerModel(backbone, encoded.labels.words, shape)
        return PointerTask(model, encoded.labels, replace(self._target(), longest_source=longest), settings)

    @classmethod
    def open(cls, folder: ModelFolder, device: Any, **choices: Any) -> PointerTask:
        """The saved model, with the search of its training but for what is chosen otherwise."""
        model = load_model(folder)
        try:
            target = Target(kind=folder.kind, **folder.known("target", Target))
            search = OpenSettings(**{**folder.known("search", OpenSettings), **choices})
            problems = list(search.problems())  # of values of another type as well
        except (KeyError, TypeError) as error:
            damaged(folder.path, error)
        if problems:
            raise ConfigError("\n".join(problems))
        task = PointerTask(model, folder.labels, target, search).to(device).eval()
        lighten(model, search.form)
        return task

    def _target(self) -> Target:
        recipe, settings = self.recipe, self.settings
        unit, order = settings.unit.value, settings.order.value
        return Target(unit, order, recipe.kind.value, recipe.is_reference, bool(settings.masked))

    def _limit_notes(self, splits: Mapping[str, PointerRows]) -> Iterator[str]:
        """Targets that the search could not write in full because of its length limit."""
        constant, ratio = self.settings.max_len, self.settings.max_len_ratio
        for split, rows in splits.items():
            limits = constant + (ratio * rows.lengths).astype(int)
            too_long = int((rows.target_lengths > limits).sum())
            if too_long:
                yield (
                    f"{split}: {too_long} gold targets are longer than pointer.max_len + max_len_ratio * pieces "
                    f"= {constant} + {ratio} * pieces. Raise them to make these targets reachable."
                )


class PointerTask(nn.Module):
    """The pointer model, its loss and its search, see :class:`genner.formulations.base.Task`.

    Args:
        model: scores symbols.
        labels: types and their words.
        target: how entities are written.
        search: how symbols are searched, and what a score is.

    Raises:
        ConfigError: the search cannot give such scores.
    """

    trainable = True

    def __init__(self, model: PointerModel, labels: LabelSet, target: Target, search: Settings | OpenSettings) -> None:
        super().__init__()
        self.model, self.labels, self.target, self.search = model, labels, target, search
        scores, candidates = getattr(search, "scores", "symbols"), getattr(search, "candidates", False)
        self.generation = target.generation(search)
        check_scores(scores, candidates, self.generation)
        if target.masked and search.give_up:
            raise ConfigError(
                f"give_up: {search.give_up:g} for a model that was trained with pointer.masked, which wishes only for "
                "what is allowed. Expected none. Leave it out."
            )
        if scores == "nbest":
            self.generation = replace(self.generation, n_best=self.generation.num_beams)
        self.scores, self.gives_candidates = scores, candidates
        self.words, self.codec = _tools(target, model.backbone.tokenizer, labels, _FEW_WORDS)
        n_labels = len(labels.tags)
        self.constraint: AnyPiece | PointerConstraint = AnyPiece(n_labels)
        if self.generation.constrained:
            self.constraint = PointerConstraint(self.codec.unit, n_labels, self.generation.structure)

    @property
    def collate(self) -> Callable[[Sequence[Any]], Batch]:
        """Padded tensors of some rows, see :func:`genner.data.encoded.collate_pointer`."""
        if not self.target.masked:
            return partial(collate_pointer, pad_id=self.words.pad_id)
        constraint = PointerConstraint(self.codec.unit, len(self.labels.tags), self.target.kind)
        return partial(collate_allowed, self.words.pad_id, constraint, self.words.lead, self.words.tail)

    @property
    def score_kind(self) -> str:
        """How the scores come about."""
        candidates = " with candidates" if self.gives_candidates else ""
        return f"{self.scores} of num_beams {self.generation.num_beams}{candidates}"

    def parameter_groups(self, weight_decay: float) -> list[dict[str, object]]:
        """The published parameter groups, see :meth:`PointerModel.parameter_groups`."""
        return self.model.parameter_groups(weight_decay)

    def loss(self, batch: Batch) -> LossSum:
        """Cross entropy of all symbols of the batch, and how many there are."""
        fields = ("src_tokens", "src_seq_len", "tgt_tokens", "tgt_seq_len", "first")
        found = self.model(*(batch[name] for name in fields), batch.get("allowed"))
        return LossSum(found["total"], found["weight"])

    def generate(self, batches: Iterable[Batch]) -> Iterator[tuple[int, list[Hypothesis]]]:
        """Search the symbols of every sentence of many batches; see :func:`genner.model.generation.search_all`."""
        return search_all(self.model, map(self._prepared, batches), self.generation)

    def predict(self, batches: Iterable[Batch]) -> Iterator[Prediction]:
        """Entities of every sentence, each with its score, as sentences are done."""
        waiting: dict[int, tuple] = {}
        for number, hypotheses in self.generate(remembered(batches, waiting)):
            yield self._read(hypotheses, *waiting.pop(number))

    def read(self, passages: Sequence[Sequence[str]], options: ReadOptions) -> Iterator[Prediction]:
        """Entities of passages, in windows where they are long, see :func:`read_passages`."""
        backbone, n_special = self.model.backbone, self.words.lead + self.words.tail
        longest = self.target.longest_source
        usual = max(longest - n_special, _SMALLEST_WINDOW) if longest else _USUAL_PIECES
        room = sys.maxsize if backbone.max_positions is None else backbone.max_positions - n_special
        return read_passages(self, passages, self._encode, replace(options, window=min(options.window or usual, room)))

    def save(self, folder: Path) -> None:
        """Write the portable model folder."""
        target = {name: value for name, value in asdict(self.target).items() if name != "kind"}
        search = {field.name: getattr(self.search, field.name) for field in fields(OpenSettings.__base__)}
        settings = save_model(folder, self.model) | {"target": target, "search": search}
        ModelFolder(folder, "pointer", self.target.kind, self.labels, settings).write()

    def undecided(self) -> dict[str, Undecided]:
        """When to give up on a group, if anything can be given up, and when to end, unless they are set."""
        if not self.generation.constrained:
            return {}
        found: dict[str, Undecided] = {}
        if self.search.give_up is None and not self.target.masked:
            found["give_up"] = Undecided(GIVE_UP_VALUES)
        if self.search.eos_penalty is None:
            found["eos_penalty"] = Undecided(EOS_PENALTIES, doubt=0.5)  # it helped all models of docs/search.md
        return found

    def may_differ(self, prediction: Prediction, choices: Mapping[str, Any]) -> bool:
        """Whether something was forced that this search would give up on, or another end is possible."""
        return bool(choices.get("eos_penalty")) or prediction.least_mass < choices["give_up"]

    def varied(self, choices: Mapping[str, Any]) -> PointerTask:
        """See :meth:`Task.varied`."""
        return PointerTask(self.model, self.labels, self.target, replace(self.search, **choices))

    def variants(self) -> dict[str, Task]:
        """The search without the constraint, or with it where there is none."""
        name = "unconstrained" if self.generation.constrained else "constrained"
        return {name: self.varied({"constrained": not self.generation.constrained})}

    def _encode(self, passages: Sequence[Sequence[str]]) -> list[EncodedWords]:
        columns = self.words.align_columns(passages)
        return [EncodedWords(*row, self.words) for row in zip(*columns, strict=True)]

    def _prepared(self, batch: Batch) -> PreparedBatch:
        src_tokens, src_seq_len = batch["src_tokens"], batch["rows"].lens
        lead, tail = self.model.backbone.lead, self.model.backbone.tail
        limits = self.generation.limits(src_seq_len)
        if (room := self.model.backbone.max_positions) is not None:
            limits = limits.clamp(max=room)
        first = batch["first"]
        begin = self.constraint.start(first, src_seq_len, lead, tail, limits, src_tokens.shape[1])
        return PreparedBatch(self.model.start(src_tokens, src_seq_len, first), begin, limits, src_tokens.device)

    def _read(
        self,
        hypotheses: Sequence[Hypothesis],
        bounds: Sequence[int],
        example_idx: int,
        word_offset: int,
        gold: list[int] | None,
    ) -> Prediction:
        decoded = [self._decoded(found.ids, bounds) for found in hypotheses]
        best, best_decoded = hypotheses[0], decoded[0]
        entities = best_decoded.entities
        if self.scores == "symbols":
            scores = symbol_scores(best, best_decoded.symbol_spans)
        else:
            mass = mass_of_entities([one.logprob for one in hypotheses], [one.entities for one in decoded])
            entities = list(mass) if self.gives_candidates else entities
            scores = [mass[entity] for entity in entities]
        if self.generation.constrained:
            forced = [mass for mass in best.masses if mass < 1]
            counts = Counter({"forced": len(forced), "repeated": best_decoded.repeated}) + best_decoded.dropped
            about = {"counts": counts, "least_mass": min(forced, default=1.0) if len(hypotheses) == 1 else 0.0}
        else:
            rejected = [(reject.reason, reject.key) for reject in best_decoded.rejected]
            is_comparable = gold is not None and self.target.order == "position"  # else another order is as good
            is_exact = _until_end(best.ids) == _until_end(gold) if is_comparable else None
            about = {"rejected": rejected, "exact": is_exact}
        return Prediction(example_idx, entities, scores, word_offset=word_offset, **about)

    def _decoded(self, ids: list[int], bounds: Sequence[int]) -> Decoded:
        """What a sequence holds, under the rules of the search if it has any."""
        if self.generation.constrained:
            return self.codec.settle(ids, bounds, self.generation.structure)
        return self.codec.decode(ids, bounds)


def _described(rows: PointerRows, report: PipeReport) -> EncodedSplit:
    lengths = {"source pieces": report.longest_source, "target symbols": report.longest_target}
    changes = [f"{report.counts[key]} {text}" for key, text in _CHANGES.items() if report.counts[key]]
    return EncodedSplit(rows, lengths, report.oracle_f, changes)


def _start_notes(backbone: str, labels: LabelSet) -> Iterator[str]:
    """Where a warm start begins."""
    if (start := ModelFolder.of_backbone(backbone)) is not None:
        taken = labels_taken(start, labels.words)
        new = [words for words in labels.words if words not in taken]
        counts = f"{len(taken)} labels taken over by their words, {len(new)} new" + f": {', '.join(new)}" * bool(new)
        yield f"start: the weights of {start.path}; {counts}."


def _tools(
    target: Target, tokenizer: PreTrainedTokenizerBase, labels: LabelSet, max_remembered: int
) -> tuple[WordTokenizer, PointerCodec]:
    """What turns words into pieces, and entities into symbols and back."""
    compat = target.compat
    words = WordTokenizer(tokenizer, compat=compat, label_words=labels.words, max_remembered=max_remembered)
    return words, PointerCodec(PointerVocab(labels.tags), target.unit, compat=compat, order=target.order)


def _until_end(symbols: list[int]) -> list[int]:
    return symbols[: symbols.index(EOS) + 1] if EOS in symbols else symbols
