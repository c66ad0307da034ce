"""Recipes: frozen dataclasses filled from YAML and the command line; all unknown keys and wrong values named at once.

Precedence is default < recipe file < command line. OmegaConf checks the types; only app and formulations see it.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from genner.errors import ConfigError

__all__ = ["Kind", "Recipe", "corpus_folder", "load_recipe", "recipe_path", "recipe_yaml"]

RECIPES = max((folder / "recipes" for folder in Path(__file__).resolve().parents[:2]), key=Path.is_dir)


class Kind(Enum):
    """What entities of a dataset may look like; also picks the default loader."""

    flat = "flat"
    nested = "nested"
    discontinuous = "discontinuous"


class Compat(Enum):
    """``reference`` reproduces the behaviours that `docs/compat.md` lists; ``default`` is the correct behaviour."""

    default = "default"
    reference = "reference"


class Unit(Enum):
    """Target type: what the pointers of an entity point at."""

    word = "word"
    span = "span"
    bpe = "bpe"
    span_bpe = "span_bpe"


class TooLong(Enum):
    """What happens to a sentence with more pieces than the backbone takes."""

    error = "error"
    split = "split"
    drop = "drop"


class DecoderType(Enum):
    """How source states and source embeddings are combined in the pointer scores."""

    none = "none"
    avg_score = "avg_score"
    avg_feature = "avg_feature"


class Schedule(Enum):
    """Shape of the learning rate after warm-up."""

    linear = "linear"
    constant = "constant"
    inverse_square = "inverse_square"


class BatchBy(Enum):
    """What ``batching.size`` counts."""

    sentences = "sentences"
    pieces = "pieces"


class SelectOn(Enum):
    """The split whose F1 chooses the best epoch."""

    dev = "dev"
    test = "test"


class OnCollapse(Enum):
    """What follows a collapse."""

    stop = "stop"
    restart = "restart"


@dataclass(frozen=True)
class DataConfig:
    root: str | None = None  # folder of the corpora; default $NER_DATA_ROOT, else ../data
    loader: str | None = None  # conll | ontonotes | nested | discontinuous; default by kind
    word_column: int = 0  # of column files, from 0; negative counts from the end
    tag_column: int = -1
    max_words: int = 150  # longer sentences of nested files are split, as published
    on_too_long: TooLong = TooLong.error
    max_pieces: int | None = None  # lower than what the backbone allows, if set
    train_on_dev: bool = False  # conll2003: train and dev together
    dev_every: int | None = None  # genia: every n-th training sentence goes to dev ...
    dev_size: int | None = None  # ... until dev has this many
    limit: int | None = None
    allow_unseen_labels: bool = False  # dev and test may have labels that train lacks
    cache: bool = True


class Order(Enum):
    """In which order the entities of a sentence are written."""

    position = "position"
    shuffled = "shuffled"


class LabelWords(Enum):
    """What initialises a label's embedding."""

    words = "words"
    tags = "tags"


@dataclass(frozen=True)
class CodecConfig:
    unit: Unit = Unit.word
    order: Order = Order.position  # shuffled: one that looks random, to see what the order is good for
    label_words: LabelWords = LabelWords.words  # those under `labels`, or the tags as they are


@dataclass(frozen=True)
class ModelConfig:
    decoder_type: DecoderType = DecoderType.avg_feature
    encoder_mlp: bool = True
    dropout: float = 0.3
    word_dropout: float = 0.0  # share of source words hidden in training; helps small corpora and random backbones
    draft_head: bool = True  # a head that drafts answers for the decoder to verify; the model itself stays the same


@dataclass(frozen=True)
class OptimConfig:
    lr: float | None = None  # default: 5e-4 for a scratch backbone, 2e-5 for a pretrained one
    weight_decay: float = 0.01
    schedule: Schedule = Schedule.linear
    warmup_ratio: float = 0.05  # a share of all steps, or a number of steps if above 1
    clip_value: float = 5.0


@dataclass(frozen=True)
class TrainingConfig:
    epochs: int = 30
    evaluate_from: int = 1  # first epoch that is scored on dev; at the latest the last
    select_on: SelectOn = SelectOn.dev
    accumulate: int = 1
    collapse_below: float = 0.0  # percent: a run whose F1 is under it stops as collapsed; 0 is off
    collapse_from: int | None = None  # first epoch that is judged; default the second half, epoch 5 at the earliest
    on_collapse: OnCollapse = OnCollapse.stop  # restart: again, with another data order and a lower learning rate
    restarts: int = 2  # times at most
    restart_lr_factor: float = 0.5  # of the attempt before
    track: list[str] = field(default_factory=list)  # further records: tensorboard, wandb, codecarbon
    bf16: bool = False
    compile: bool = False  # torch.compile of the training step; see docs/runs.md for what it takes and gives
    device: str = "auto"  # cpu, cuda, cuda:1 ...; auto takes a GPU if there is one
    num_workers: int = 0


@dataclass(frozen=True)
class GenerationSettings:
    max_len: int = 20  # limit = max_len + max_len_ratio * source pieces, BOS and EOS included
    max_len_ratio: float = 1.5
    num_beams: int = 1
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    draft_len: int = 6  # greedy: most symbols drafted at once, where the model has a head for it; 0 drafts none
    draft_rows: int = 20  # most symbols drafted at once for all sentences together
    constrained: bool | None = None  # default: yes, but for compat: reference


@dataclass(frozen=True)
class BatchingConfig:
    by: BatchBy = BatchBy.sentences
    size: int = 16
    bucket: bool = True  # sentences of like length come together
    eval_size: int = 64  # sentences decoded at once


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes a run. The comments at the fields say what the values mean."""

    dataset: str = "demo"
    formulation: str = "pointer"
    kind: Kind = Kind.flat
    backbone: str = "facebook/bart-large"
    compat: Compat = Compat.default
    labels: dict[str, str] = field(default_factory=dict)  # tag: the words that initialise its embedding
    data: DataConfig = field(default_factory=DataConfig)
    codec: CodecConfig = field(default_factory=CodecConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    generation: GenerationSettings = field(default_factory=GenerationSettings)
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    seeds: list[int] = field(default_factory=lambda: [1])
    reported: dict[str, Any] = field(default_factory=dict)  # published scores and their source, shown beside ours

    @property
    def is_reference(self) -> bool:
        return self.compat is Compat.reference


def recipe_path(dataset: str, formulation: str = "pointer") -> Path:
    """Where the recipe of a dataset lies, whether or not it exists."""
    return RECIPES / dataset / f"{formulation}.yaml"


def load_recipe(path: Path | None, overrides: Sequence[str] = (), flags: Mapping[str, Any] | None = None) -> Recipe:
    """Merge defaults, a recipe file, command-line flags (dotted key to value) and ``key=value`` overrides.

    Raises:
        ConfigError: every unknown key, wrong type and impossible value found, in one message.
    """
    config = OmegaConf.structured(Recipe)
    for node in (config, *(config[name] for name in config if isinstance(config[name], DictConfig))):
        OmegaConf.set_readonly(node, False)  # frozen dataclasses make read-only nodes
    problems: list[str] = []
    if path is not None:
        where = f"{path.parent.name}/{path.name}"
        for key, value in _leaves(_read_yaml(path)):
            problems += _set(config, key, value, where)
    for key, value in (flags or {}).items():
        problems += _set(config, key, value, "command line")
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            problems.append(f"command line: {override!r} is no setting. Expected key=value, such as optim.lr=2e-5.")
            continue
        problems += _set(config, key, _parse(text), "command line")
    if not problems:
        recipe = OmegaConf.to_object(config)
        problems = [f"recipe: {problem}" for problem in _impossible(recipe)]
    if problems:
        raise ConfigError("\n".join(problems))
    return _resolve(config)


def recipe_yaml(recipe: Recipe) -> str:
    """The resolved recipe as YAML text that :func:`load_recipe` reads back."""
    return OmegaConf.to_yaml(OmegaConf.structured(recipe))


def corpus_folder(recipe: Recipe) -> Path:
    """``<root>/<dataset>``, or the root itself where that folder does not exist and the root has split files."""
    root = Path(recipe.data.root or os.environ.get("NER_DATA_ROOT") or "../data")
    inside = root / recipe.dataset
    is_corpus = (
        not inside.is_dir() and root.is_dir() and any("train" in path.name for path in root.iterdir() if path.is_file())
    )
    return root if is_corpus else inside


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as a recipe: {error}. Expected a YAML file of settings.") from None
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path}: holds {type(content).__name__}. Expected a YAML mapping of settings.")
    return content


def _parse(text: str) -> Any:
    """The value of an override, typed as YAML 1.2 would (``1e-5`` is a number)."""
    return OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))["value"]


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping) and dotted not in ("labels", "reported"):
            yield from _leaves(value, f"{dotted}.")
        else:
            yield dotted, value


def _set(config: DictConfig, key: str, value: Any, where: str) -> list[str]:
    """Set one dotted key; returns the problems instead of raising so that all of them are shown together."""
    node: Any = config
    *parents, last = key.split(".")
    for depth, part in enumerate([*parents, last]):
        known = [str(name) for name in node] if isinstance(node, DictConfig) else []
        if part not in known and parents[:1] not in (["labels"], ["reported"]):
            parent = ".".join(key.split(".")[:depth])
            expected = f"one of {', '.join(known)}" if known else f"{parent} alone, which holds no further keys"
            return [f"{where}: unknown key {key!r}. Expected {expected}{_nearest(part, known, parent)}."]
        node = node.get(part) if depth < len(parents) else node
    try:
        if last in ("labels", "reported") and not parents:
            if not isinstance(value, Mapping):
                return [f"{where}: {key}: {value!r} cannot be used. Expected a mapping, such as {{loc: location}}."]
            value = OmegaConf.create({str(tag): words for tag, words in value.items()})
        OmegaConf.update(config, key, value, merge=False, force_add=parents[:1] in (["labels"], ["reported"]))
    except (OmegaConfBaseException, ValueError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        return [f"{where}: {key}: {value!r} cannot be used: {reason}."]
    return []


def _nearest(part: str, known: Sequence[str], parent: str) -> str:
    match = difflib.get_close_matches(part, known, n=1, cutoff=0.5)
    if not match:
        initials = "".join(word[:1] for word in part.split("_"))
        match = [name for name in known if name in part or part in name or name == initials][:1]
    return f" (did you mean '{parent + '.' if parent else ''}{match[0]}'?)" if match else ""


def _impossible(recipe: Recipe) -> Iterator[str]:
    """Values that have the right type but cannot work."""
    positive = {
        "optim.lr": recipe.optim.lr,
        "training.epochs": recipe.training.epochs,
        "training.evaluate_from": recipe.training.evaluate_from,
        "training.accumulate": recipe.training.accumulate,
        "batching.size": recipe.batching.size,
        "batching.eval_size": recipe.batching.eval_size,
        "generation.num_beams": recipe.generation.num_beams,
        "generation.repetition_penalty": recipe.generation.repetition_penalty,
        "data.limit": recipe.data.limit,
        "data.max_pieces": recipe.data.max_pieces,
    }
    for key, value in positive.items():
        if value is not None and not value > 0:
            yield f"{key} is {value}. Expected more than 0."
    if recipe.generation.max_len < 2:
        yield f"generation.max_len is {recipe.generation.max_len}. Expected at least 2: BOS and EOS count."
    not_negative = {
        "generation.max_len_ratio": recipe.generation.max_len_ratio,
        "optim.warmup_ratio": recipe.optim.warmup_ratio,
        "optim.weight_decay": recipe.optim.weight_decay,
        "optim.clip_value": recipe.optim.clip_value,
        "training.collapse_below": recipe.training.collapse_below,
    }
    for key, value in not_negative.items():
        if value < 0:
            yield f"{key} is {value}. Expected 0 or more."
    for key, share in {"dropout": recipe.model.dropout, "word_dropout": recipe.model.word_dropout}.items():
        if not 0 <= share < 1:
            yield f"model.{key} is {share}. Expected a share from 0 to below 1."
    if not recipe.seeds or len(set(recipe.seeds)) != len(recipe.seeds) or min(recipe.seeds, default=0) < 0:
        yield f"seeds is {recipe.seeds}. Expected one or more different numbers from 0 on."
    if recipe.codec.order is Order.shuffled and recipe.is_reference:
        yield "codec.order is shuffled with compat: reference, which keeps the order of the file. Expected one of them."
    if (recipe.data.dev_every is None) != (recipe.data.dev_size is None):
        yield "data.dev_every and data.dev_size belong together. Expected both or neither."


def _resolve(config: DictConfig) -> Recipe:
    """Fill the values whose default depends on others."""
    scratch = config.backbone.startswith("scratch")
    if config.optim.lr is None:
        config.optim.lr = 5e-4 if scratch else 2e-5
    if config.data.loader is None:
        config.data.loader = {"flat": "conll"}.get(config.kind.value, config.kind.value)
    if config.generation.constrained is None:
        config.generation.constrained = config.compat is not Compat.reference
    # A trial with fewer epochs than the recipe's first evaluation is evaluated at its end.
    config.training.evaluate_from = min(config.training.evaluate_from, config.training.epochs)
    return OmegaConf.to_object(config)
