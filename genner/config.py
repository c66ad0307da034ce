"""Recipes: frozen dataclasses filled from YAML and the command line; all unknown keys and wrong values named at once.

A recipe has a common part and one block named after its formulation, typed by the formulation's ``Settings``.
Precedence is default < recipe file < command line.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from genner.errors import ConfigError
from genner.formulations import settings_of
from genner.names import folder_name_problem
from genner.settings import FormulationSettings, Values, build, flatten, leaves, parse_value, parse_yaml, yaml_problem

__all__ = ["Kind", "Recipe", "flat_settings", "load_recipe", "recipe_path", "recipe_yaml", "scoring_settings"]

RECIPES = max((folder / "recipes" for folder in Path(__file__).resolve().parents[:2]), key=Path.is_dir)

_DATA_ENDINGS = (".txt", ".conll", ".bio", ".iob", ".iob2", ".tsv", ".csv", ".json", ".jsonl", ".jsonlines")
_WHOLE = ("labels", "reported")  # mappings that are values, not groups of keys

#: Settings that do not shape the scores of a seed: two commands with the same run name may differ in them.
FREE_KEYS = frozenset(
    {
        "seeds", "reported", "data.root", "data.cache", "training.device", "training.num_workers",
        "training.deterministic", "training.keep_state", "training.on_collapse", "training.restarts", "training.track",
        "batching.eval_size",
    }
)  # fmt: skip


class Kind(Enum):
    """What entities of a dataset may look like; also picks the default loader."""

    flat = "flat"
    nested = "nested"
    discontinuous = "discontinuous"


class Compat(Enum):
    """``reference`` reproduces the behaviours that `docs/compat.md` lists; ``default`` is the correct behaviour."""

    default = "default"
    reference = "reference"


class TooLong(Enum):
    """What happens to a sentence with more pieces than the backbone takes."""

    error = "error"
    split = "split"
    drop = "drop"


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


class Scheme(Enum):
    """The scheme of the tags in column files; ``auto`` recognises all but ``io``, whose tags are labels alone."""

    auto = "auto"
    io = "io"
    bio = "bio"
    iob1 = "iob1"
    iob2 = "iob2"
    ioe1 = "ioe1"
    ioe2 = "ioe2"
    bioes = "bioes"
    iobes = "iobes"
    bmes = "bmes"
    bmewo = "bmewo"
    bilou = "bilou"


class Comments(Enum):
    """Which lines of column files that begin with ``#`` are comments; ``auto``: those that can be no row."""

    auto = "auto"
    always = "always"
    never = "never"


@dataclass(frozen=True)
class DataConfig:
    root: str | None = None  # folder of the corpora; default $NER_DATA_ROOT, else ../data
    loader: str | None = None  # conll | ontonotes | nested | discontinuous | json; default by kind and content
    word_column: str = "0"  # of column files: from 0, negative counts from the end; or a name in the first row
    tag_column: str = "-1"
    sentence_column: str | None = None  # its change starts a sentence; default: empty lines end sentences
    delimiter: str | None = None  # tab, comma, semicolon, bar or a character; default blanks and tabs, or CSV's
    scheme: Scheme = Scheme.auto  # of the tags
    comments: Comments = Comments.auto  # which lines that begin with # are comments
    max_words: int = 150  # longer sentences of nested files are split, as published
    on_too_long: TooLong = TooLong.error
    max_pieces: int | None = None  # lower than what the backbone allows, if set
    train_on_dev: bool = False  # conll2003: train and dev together
    dev_every: int | None = None  # genia: every n-th training sentence goes to dev ...
    dev_size: int | None = None  # ... until dev has this many
    dev_share: float | None = None  # of train, where there is no dev file; default 0.1, 0 for published settings
    test_share: float = 0.0  # of train, where there is no test file; 0: no test split
    share_seed: int = 1  # of what is drawn from train
    unlabelled_test: bool | None = None  # predicted, not scored; default: if its file has no entity
    limit: int | None = None
    allow_unseen_labels: bool = False  # dev and test may have labels that train lacks
    cache: bool = True


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
    deterministic: bool = True  # on a GPU: the same numbers in every run; false may be faster
    num_workers: int = 0
    fit_on_dev: bool | None = None  # search and least scores, at the end; default: yes, but for compat: reference
    keep_state: bool = False  # also of finished seeds, so that a run with a constant schedule may get more epochs


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
    labels: dict[str, str] = field(default_factory=dict)  # tag: the natural words that stand for it
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    seeds: list[int] = field(default_factory=lambda: [1])
    reported: dict[str, Any] = field(default_factory=dict)  # published scores and their source, shown beside ours
    settings: FormulationSettings = field(default_factory=FormulationSettings)  # the block named as the formulation

    def __post_init__(self) -> None:
        if type(self.settings) is FormulationSettings:
            object.__setattr__(self, "settings", settings_of(self.formulation)())

    @property
    def is_reference(self) -> bool:
        return self.compat is Compat.reference


def recipe_path(dataset: str, formulation: str = "pointer") -> Path:
    """Where the recipe of a dataset lies, whether or not it exists.

    Raises:
        ConfigError: a name that no folder or file can have.
    """
    for key, name in (("dataset", dataset), ("formulation", formulation)):
        if problem := folder_name_problem(name):
            raise ConfigError(f"{key}: {problem} Choose such a name.")
    return RECIPES / dataset / f"{formulation}.yaml"


def load_recipe(path: Path | None, overrides: Sequence[str] = (), flags: Mapping[str, Any] | None = None) -> Recipe:
    """Merge defaults, a recipe file, command-line flags (dotted key to value) and ``key=value`` overrides.

    Raises:
        ConfigError: every unknown key, wrong type and impossible value found, in one message.
    """
    given: list[tuple[str, Any, str]] = []
    problems: list[str] = []
    if path is not None:
        where = f"{path.parent.name}/{path.name}"
        given += [(key, value, where) for key, value in leaves(_read_yaml(path), _WHOLE)]
    given += [(key, value, "command line") for key, value in (flags or {}).items()]
    for override in overrides:
        key, equals, text = override.partition("=")
        try:
            given.append((key, parse_value(text), "command line"))
        except yaml.YAMLError:
            problems.append(
                f"command line: {override!r:.80} has unbalanced brackets. Expected a YAML list or mapping. Close them."
            )
        if not equals:
            given.pop()
            problems.append(
                f"command line: {override!r:.80} is no setting. Expected key=value. Write it like optim.lr=2e-5."
            )
    formulation = next((value for key, value, _ in reversed(given) if key == "formulation"), Recipe.formulation)
    schema: type[FormulationSettings] = settings_of(str(formulation))
    values = Values({"": Recipe, formulation: schema}, problems=problems)
    for key, value, where in given:
        values.set(key, value, where)
    if not problems:
        block = build(schema, values.values, f"{formulation}.")
        recipe = _resolved(replace(build(Recipe, values.values), settings=block))
        problems += [f"recipe: {problem}" for problem in _impossible(recipe)]
        problems += [f"recipe: {formulation}.{problem}" for problem in block.problems(recipe)]
    if problems:
        raise ConfigError("\n".join(problems))
    return replace(recipe, settings=block.resolved(recipe))


def recipe_tree(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested plain values, the block of its formulation under its name."""
    tree: dict[str, Any] = {}
    for key, value in flat_settings(recipe).items():
        group, dot, name = key.partition(".")
        if dot:
            tree.setdefault(group, {})[name] = value
        else:
            tree[key] = value
    return tree


def flat_settings(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values by dotted key."""
    common = {key: value for key, value in flatten(recipe).items() if not key.startswith("settings.")}
    return common | flatten(recipe.settings, f"{recipe.formulation}.")


def scoring_settings(recipe: Recipe) -> dict[str, Any]:
    """The settings that shape the scores of a seed, by dotted key."""
    free = FREE_KEYS | {f"{recipe.formulation}.{key}" for key in recipe.settings.FREE}
    return {key: value for key, value in flat_settings(recipe).items() if key not in free}


def settings_digest(recipe: Recipe) -> str:
    """Hexadecimal digest of the settings that shape the scores of a seed."""
    return hashlib.sha256(json.dumps(scoring_settings(recipe), sort_keys=True).encode()).hexdigest()


def recipe_yaml(recipe: Recipe) -> str:
    """The resolved recipe as YAML text that :func:`load_recipe` reads back."""
    return yaml.safe_dump(recipe_tree(recipe), sort_keys=False, allow_unicode=True)


def corpus_folder(recipe: Recipe) -> Path:
    """``<root>/<dataset>``, or the root itself where that folder does not exist and the root has files of data."""
    root = Path(recipe.data.root or os.environ.get("NER_DATA_ROOT") or "../data")
    inside = root / recipe.dataset
    if inside.is_dir() or not root.is_dir():
        return root if root.is_file() else inside
    names = [path.name for path in root.iterdir() if path.is_file() and not path.name.startswith(".")]
    has_data = any("train" in name for name in names)
    if recipe.data.root and not has_data:  # whoever named the folder wants to know what is wrong with these files
        has_data = any(name.endswith(_DATA_ENDINGS) for name in names)
    return root if has_data else inside


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read as a recipe: {error.strerror}. Expected a YAML file of settings. Name another."
        ) from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path}: cannot be read as a recipe: {yaml_problem(error)}. Expected a YAML file of settings. Correct it."
        ) from None
    if not isinstance(content, Mapping):
        raise ConfigError(
            f"{path}: holds {type(content).__name__}. Expected a YAML mapping of settings. Write key: value lines."
        )
    return content


def _impossible(recipe: Recipe) -> Iterator[str]:
    """Values that have the right type but cannot work."""
    if problem := folder_name_problem(recipe.dataset):
        yield f"dataset: {problem} Choose such a name."
    positive = {
        "optim.lr": recipe.optim.lr,
        "training.epochs": recipe.training.epochs,
        "training.evaluate_from": recipe.training.evaluate_from,
        "training.accumulate": recipe.training.accumulate,
        "batching.size": recipe.batching.size,
        "batching.eval_size": recipe.batching.eval_size,
        "data.limit": recipe.data.limit,
        "data.max_pieces": recipe.data.max_pieces,
    }
    for key, value in positive.items():
        if value is not None and not value > 0:
            yield f"{key} is {value}. Expected more than 0. Raise it."
    not_negative = {
        "optim.warmup_ratio": recipe.optim.warmup_ratio,
        "optim.weight_decay": recipe.optim.weight_decay,
        "optim.clip_value": recipe.optim.clip_value,
        "training.collapse_below": recipe.training.collapse_below,
    }
    for key, value in not_negative.items():
        if value < 0:
            yield f"{key} is {value}. Expected 0 or more. Raise it."
    if not recipe.seeds or len(set(recipe.seeds)) != len(recipe.seeds) or min(recipe.seeds, default=0) < 0:
        yield f"seeds is {recipe.seeds}. Expected one or more different numbers from 0 on. Change them."
    if (recipe.data.dev_every is None) != (recipe.data.dev_size is None):
        yield "data.dev_every and data.dev_size: only one is set. Expected both or neither. Set the other too."


def _resolved(recipe: Recipe) -> Recipe:
    """With the values whose default depends on others."""
    optim, data, training = recipe.optim, recipe.data, recipe.training
    if optim.lr is None:
        optim = replace(optim, lr=5e-4 if recipe.backbone.startswith("scratch") else 2e-5)
    if data.loader is None:
        data = replace(data, loader={"flat": "conll"}.get(recipe.kind.value, recipe.kind.value))
    backbone = recipe.backbone
    if not backbone.startswith((".", "~")) and not os.path.isabs(backbone) and os.path.isdir(backbone):
        backbone = os.path.join(".", backbone)  # a folder here, which nobody takes for a name on the hub
    # A trial with fewer epochs than the recipe's first evaluation is evaluated at its end.
    fit_on_dev = not recipe.is_reference if training.fit_on_dev is None else training.fit_on_dev
    training = replace(training, evaluate_from=min(training.evaluate_from, training.epochs), fit_on_dev=fit_on_dev)
    return replace(recipe, backbone=backbone, optim=optim, data=data, training=training)
