"""What a formulation offers to the rest of the house, which speaks to it through these protocols only.

A formulation makes rows of a corpus (`encode`), a network with its loss and its search (`build`), and opens what it
saved (`open`). The *task* it gives is a ``torch.nn.Module``: the Trainer trains it, evaluation and prediction ask it
for entities. Nothing outside the formulation's package knows its targets or its settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from genner.config import Recipe
from genner.data.bundle import LoadedCorpus
from genner.data.labels import LabelSet
from genner.formulations.undecided import Undecided
from genner.model.folder import ModelFolder
from genner.settings import FormulationSettings
from genner.training.predictions import Prediction

if TYPE_CHECKING:
    import numpy as np

    from genner.training.job import LossSum

__all__ = ["Batch", "Encoded", "EncodedSplit", "Formulation", "ReadOptions", "Rows", "Task"]

#: Tensors, which are moved to the device, and whatever else the task wants to find again with its answers.
Batch = Mapping[str, Any]


class Rows(Protocol):
    """What a formulation makes of a split: a sequence of what `Task.collate` takes, and how long the rows are."""

    lengths: np.ndarray  # (rows,) what a row costs, such as its source pieces; batches are made by it

    def __len__(self) -> int: ...

    def __getitem__(self, idx: int) -> Any: ...


@dataclass(frozen=True)
class EncodedSplit:
    """A split as rows, and what became of its sentences.

    Attributes:
        rows: a row is a sentence or a part of one.
        lengths: of the longest row, by what they count, such as ``{"source pieces": 57}``.
        oracle_f: F1 in percent of the decoded targets against the gold entities.
        changes: what was replaced, split or left out, a line each.
    """

    rows: Rows
    lengths: Mapping[str, int]
    oracle_f: float
    changes: Sequence[str] = ()


@dataclass(frozen=True)
class Encoded:
    """A corpus as rows.

    Attributes:
        splits: by name.
        labels: the label set, as the formulation uses it.
        notes: what a user should know about backbone and targets.
        tools: what `Formulation.build` wants to find again, such as the tokenizer.
    """

    splits: Mapping[str, EncodedSplit]
    labels: LabelSet
    notes: Sequence[str] = ()
    tools: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class ReadOptions:
    """How passages of new text are read.

    Attributes:
        window: the most that the model reads at once, in its own units; None: what it was trained on.
        overlap: words that windows of a passage share; None: half of a window.
        batch_size: windows read at once.
        progress: called now and then with the words that were read since the last call.
        encoding: held while words are turned into pieces, of which tokenizers remember some; several threads may read.
    """

    window: int | None = None
    overlap: int | None = None
    batch_size: int = 64
    progress: Callable[[int], None] | None = None
    encoding: AbstractContextManager[Any] = field(default_factory=nullcontext)


class Task(Protocol):
    """A model as Trainer, evaluation and prediction see it; also a ``torch.nn.Module``.

    Attributes:
        labels: types, in the order of the model.
        trainable: without it, a run only evaluates and saves.
        collate: makes a batch of rows; it can be pickled, and brings no weights along.
        score_kind: how the scores of entities come about: a calibration holds for one kind.
        gives_candidates: predictions also hold entities beyond those of the answer, each with its probability.
    """

    labels: LabelSet
    trainable: bool
    collate: Callable[[Sequence[Any]], Batch]
    score_kind: str
    gives_candidates: bool

    def loss(self, batch: Batch) -> LossSum:
        """The loss summed over the batch, and what it is summed over."""

    def predict(self, batches: Iterable[Batch]) -> Iterator[Prediction]:
        """The entities of every row, rows in any order."""

    def read(self, passages: Sequence[Sequence[str]], options: ReadOptions) -> Iterator[Prediction]:
        """The entities of passages given as words (one word at least each), in any order.

        ``Prediction.example_idx`` is the number of the passage.
        """

    def parameter_groups(self, weight_decay: float) -> list[dict[str, object]]:
        """For the optimizer."""

    def save(self, folder: Path) -> None:
        """Write the portable model folder, see :mod:`genner.model.folder`; ``folder`` is empty."""

    def undecided(self) -> Mapping[str, Undecided]:
        """Choices of :attr:`Formulation.Open` that dev decides, one after the other; may be empty."""

    def may_differ(self, prediction: Prediction, choices: Mapping[str, Any]) -> bool:
        """Whether the answer that became this prediction may be another with such choices."""

    def varied(self, choices: Mapping[str, Any]) -> Task:
        """The same model, opened with other choices."""

    def variants(self) -> Mapping[str, Task]:
        """The same model used in other ways, for reports, such as ``{"unconstrained": ...}``; may be empty."""


class Formulation(Protocol):
    """The class ``Formulation`` in ``task.py`` of a formulation's package.

    Args:
        recipe: of the run.

    Attributes:
        Open: what may be chosen when a model is opened, beside the options of all formulations.
        FOR_CANDIDATES: such choices under which a task gives candidates; empty where it cannot.
    """

    Open: ClassVar[type[FormulationSettings]]
    FOR_CANDIDATES: ClassVar[Mapping[str, Any]]

    def __init__(self, recipe: Recipe) -> None: ...

    def encode(self, corpus: LoadedCorpus, labels: LabelSet) -> Encoded:
        """Encode every split; loads no weights."""

    def build(self, encoded: Encoded, seed: int) -> Task:
        """The task to train, its fresh weights drawn with the seed."""

    @classmethod
    def open(cls, folder: ModelFolder, device: Any, **choices: Any) -> Task:
        """The task that :meth:`Task.save` wrote, on its device, ready to predict; neither recipe nor corpus is needed.

        ``choices`` are fields of :attr:`Open`.
        """
