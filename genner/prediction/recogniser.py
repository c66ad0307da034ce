"""The recogniser: a trained model that reads texts. Texts are given one by one and decoded in batches."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakSet

import torch

from genner.data.schema import Segment
from genner.errors import ConfigError, DataFormatError, InputTypeError, NerError
from genner.evaluation.thresholds import LeastScores
from genner.formulations.base import ReadOptions, Task
from genner.formulations.opening import known_choices, open_task
from genner.model.folder import ModelFolder
from genner.prediction.given import as_texts, as_words, named, problem_of, text_problem
from genner.prediction.hub import resolve_model
from genner.prediction.options import PredictOptions
from genner.prediction.results import TextInput, TextResult, place_entity
from genner.prediction.scores import ModelCalibration, Scoring
from genner.prediction.text import TextSplitter
from genner.training.predictions import Prediction
from genner.training.world import choose_device

__all__ = ["PredictOptions", "Recogniser", "load"]

_AS_THEY_ARE, _ALL_SCORES = Scoring(), LeastScores()

Progress = Callable[[float, int], None]
_ALL: WeakSet[Recogniser] = WeakSet()


class Recogniser:
    """Finds entities in texts; made by :func:`load`. Several threads may call it; they read at the same time.

    A forked process may call it, too: on a CPU, and with one thread. Pickled, it is opened again from its folder.

    Args:
        task: the trained model.
        options: how texts are read.
        folder: the model folder.
        choices: those it was opened with.
        scoring: which entities are returned, and with which scores.
        least: the scores that were found on dev to be worth keeping, whatever ``scoring`` does.

    Attributes:
        kind: what entities look like: ``flat``, ``nested`` or ``discontinuous``.
        labels: types, in the order of the model.
    """

    def __init__(
        self,
        task: Task,
        options: PredictOptions,
        folder: ModelFolder,
        choices: Mapping[str, Any] | None = None,
        scoring: Scoring = _AS_THEY_ARE,
        least: LeastScores = _ALL_SCORES,
    ) -> None:
        self.task, self.options, self.folder, self.scoring, self.least = task, options, folder.path, scoring, least
        self.choices, self.kind, self.labels = dict(choices or {}), folder.kind, task.labels.tags
        self._splitter = TextSplitter(options.language, options.words)
        self._reading = ReadOptions(options.window, options.overlap, options.batch_size)
        self._lock = threading.Lock()
        self._process = os.getpid()
        _ALL.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        options = asdict(self.options) | self.choices
        return _opened_again, (str(self.folder.resolve()), tuple(sorted(options.items())))

    def __call__(self, texts: str | Iterable[str]) -> TextResult | list[TextResult]:
        """The entities of one text, or of each of several.

        Raises:
            InputTypeError: neither a text nor an iterable of texts.
            DataFormatError: the one text cannot be read; among several, its result has an ``error``.
        """
        if not isinstance(texts, str | TextInput):
            return list(self.stream(texts))
        result = next(self.stream([texts]))
        if result.error is not None:
            raise DataFormatError(result.error)
        return result

    def predict_words(self, sentences: Iterable[Iterable[str]]) -> list[TextResult]:
        """The entities of sentences given as words; offsets refer to the words joined by blanks.

        Raises:
            InputTypeError: anything but lists of strings; a sentence with a blank word gets a result with an ``error``.
        """
        return list(self.stream(as_words(sentences)))

    def stream(
        self, inputs: Iterable[TextInput | str], *, progress: Callable[[float, int], None] | None = None
    ) -> Iterator[TextResult]:
        """Read any number of texts in bounded memory.

        Texts are collected until they have ``chunk_words`` words, decoded together, the longest sentences first, and
        returned in order. A text that cannot be read gets a result with an ``error``; the others are not affected.

        Args:
            inputs: any iterable.
            progress: called while texts are read, with the number of texts and of words read so far; a text of which
                a half is read counts a half.

        Raises:
            InputTypeError: not an iterable of texts.
        """
        return self._stream(as_texts(inputs, "ner([text, ...])"), progress)

    def splitter(self, pause: Callable[[], None]) -> Callable[[TextInput], TextInput]:
        """What splits texts as this recogniser does, for use in one thread.

        Args:
            pause: called now and then while a text is split.
        """
        library = TextSplitter(self.options.language, self.options.words, pause=pause)

        def split(given: TextInput) -> TextInput:
            words, sentences = library.split(given.text)
            return replace(given, words=words, sentences=sentences)

        return split

    def _stream(self, inputs: Iterable[Any], progress: Progress | None) -> Iterator[TextResult]:
        waiting: list[_Text] = []
        n_words = 0
        counter = _Counter(progress)
        for number, given in enumerate(inputs):
            text = self._open(given, number)
            waiting.append(text)
            n_words += len(text.words)
            if n_words >= self.options.chunk_words:
                yield from self._results(waiting, counter)
                waiting, n_words = [], 0
        if waiting:
            yield from self._results(waiting, counter)

    def _open(self, given: TextInput | str, number: int) -> _Text:
        """A text with its words and sentences."""
        if isinstance(given, str):
            given = TextInput(given, str(number))
        if not isinstance(given, TextInput) or not isinstance(given.text, str):
            found = given.text if isinstance(given, TextInput) else given
            return _Text(TextInput("", str(number), error=text_problem(found, number)))
        if not given.id:
            given = replace(given, id=str(number))
        if given.error is not None:
            return _Text(given)
        if len(given.text) > self.options.max_chars:
            limit = self.options.max_chars
            error = f"text {given.id}: {len(given.text):,} characters. Expected at most {limit:,}. "
            return _Text(replace(given, error=error + "Split it, or raise max_chars."))
        if (problem := problem_of(given)) is not None:
            return _Text(TextInput(given.text, given.id, error=f"text {given.id}: {problem}", gold=given.gold))
        if given.words is None:
            with self._lock:
                return _Text(given, *self._splitter.split(given.text))
        whole = (Segment(0, len(given.words)),) if given.words else ()
        return _Text(given, given.words, whole if given.sentences is None else given.sentences)

    def _results(self, texts: Sequence[_Text], counter: _Counter) -> list[TextResult]:
        """Read some texts; after an error in ever smaller parts, so that as few of them as possible fail."""
        try:
            counter.begin(texts)
            results = self._read(texts, counter.step)
            counter.end()
            return results
        except (NerError, RuntimeError, ValueError, MemoryError) as error:
            if len(texts) > 1:
                half = len(texts) // 2
                return self._results(texts[:half], counter) + self._results(texts[half:], counter)
            counter.end()
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            given = texts[0].given
            return [_failed(replace(given, error=f"text {given.id}: cannot be read: {reason}"))]

    def _read(self, texts: Sequence[_Text], progress: Callable[[int], None] | None) -> list[TextResult]:
        spans = [(text, span) for text in texts for span in text.passages(self.options.passage)]
        by_text: dict[int, list[tuple[int, Prediction]]] = {}
        if self._process != os.getpid() and next(self.task.parameters()).is_cuda:
            raise ConfigError(
                "device: a forked process cannot use the GPU of its parent. Expected a process of its own. Start it "
                "with multiprocessing.get_context('spawn')."
            )
        reading = replace(self._reading, progress=progress, encoding=self._lock)
        with torch.no_grad():
            for answer in self.task.read([text.surfaces(span) for text, span in spans], reading):
                text, span = spans[answer.example_idx]
                by_text.setdefault(id(text), []).append((span.start, answer))
        return [self._result(text, by_text.get(id(text), [])) for text in texts]

    def _result(self, text: _Text, answers: Sequence[tuple[int, Prediction]]) -> TextResult:
        given = text.given
        if given.error is not None:
            return _failed(given)
        entities, n_found = [], 0
        for offset, answer in answers:
            found = dict(zip(answer.entities, answer.scores, strict=True))
            n_found += len(self.scoring.above(found))  # alpha is a choice of the user, who gets what it promises
            for entity, score in self.scoring(found).items():
                entities.append(place_entity(entity.shifted(offset), given.text, text.words, score))
        entities.sort(key=lambda entity: entity.reading_order)
        n_shortened = sum(answer.n_shortened for _, answer in answers)
        notes = [f"{n_shortened} words too long for the model, which saw their beginnings only"] if n_shortened else []
        return TextResult(
            given.text,
            given.id,
            text.words,
            text.sentences,
            tuple(entities),
            tuple(notes),
            gold=given.gold,
            labels=self.labels,
            n_left_out=n_found - len(entities),
        )


@dataclass(frozen=True, slots=True)
class _Text:
    """A text with its words and sentences."""

    given: TextInput
    words: tuple[Segment, ...] = ()
    sentences: tuple[Segment, ...] = ()

    def passages(self, unit: str) -> list[Segment]:
        """Word spans that the model reads at once."""
        if unit == "document":
            return [Segment(0, len(self.words))] if self.words else []
        return [sentence for sentence in self.sentences if sentence.end > sentence.start]

    def surfaces(self, span: Segment) -> list[str]:
        """Some of its words."""
        text = self.given.text
        return [text[start:end] for start, end in self.words[span.start : span.end]]


class _Counter:
    """Counts the texts and words that were read, for whoever wants to know."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._done = (0, 0)  # texts and words
        self._open = (0, 0)  # those that are being read
        self._n_read = 0  # words of them

    @property
    def step(self) -> Callable[[int], None] | None:
        """What is to be called with numbers of words as they are read."""
        return None if self._progress is None else self._step

    def begin(self, texts: Sequence[_Text]) -> None:
        """Some texts are to be read."""
        self._open, self._n_read = (len(texts), sum(len(text.words) for text in texts)), 0

    def end(self) -> None:
        """They have been read."""
        self._done = (self._done[0] + self._open[0], self._done[1] + self._open[1])
        if self._progress is not None:
            self._progress(*self._done)

    def _step(self, n_words: int) -> None:
        self._n_read += n_words
        self._progress(self._done[0] + self._open[0] * self._n_read / self._open[1], self._done[1] + self._n_read)


def load(model: str | Path, **options: Any) -> Recogniser:
    """Open a trained model.

    Args:
        model: a model folder, such as ``best`` of a finished run, or a model of the hub: ``user/name``, or
            ``user/name@revision``; see :func:`genner.prediction.hub.resolve_model`.
        options: see :class:`genner.prediction.options.PredictOptions`; also what the model's formulation lets be
            chosen, see docs/prediction.md.

    Raises:
        InputTypeError: the model, or an option, is of another type.
        DataFormatError: the folder or one of its files is missing, damaged or of another format.
        ConfigError: an option that cannot be used.
        MissingBackendError: a device that is not available, or a model that cannot be downloaded.
    """
    if not isinstance(model, str | Path) or not str(model).strip():
        found = "an empty string" if isinstance(model, str) else named(model)
        raise InputTypeError(f"load: the model is {found}. Expected a folder or a name on the hub. Set it.")
    folder = ModelFolder.read(resolve_model(model))
    if isinstance(options.get("device"), torch.device):
        options["device"] = str(options["device"])
    own = {field.name for field in fields(PredictOptions)}
    known = [*own, *known_choices(folder)]
    if unknown := sorted(options.keys() - set(known)):
        hint = get_close_matches(unknown[0], known, n=1)
        near = f" (did you mean {hint[0]!r}?)" if hint else ""
        expected = f"Expected some of {', '.join(sorted(known))}. Rename or remove it."
        raise ConfigError(f"load: unknown option {unknown[0]!r}{near}. {expected}")
    chosen = PredictOptions(**{name: value for name, value in options.items() if name in own})
    choices = {name: value for name, value in options.items() if name not in own}
    stored = ModelCalibration.read(folder.path)
    if chosen.alpha is not None:
        choices = stored.choices_for_alpha(folder.path, choices)
    fitted_choices = {key: value for key, value in stored.choices.items() if key in known}
    task = open_task(folder, choose_device(chosen.device), fitted_choices | choices)
    scoring = Scoring.of(task.score_kind, stored.of(task.score_kind) if chosen.calibrated else None)
    wants_all = chosen.alpha is not None or task.gives_candidates
    least = _ALL_SCORES if wants_all else scoring.least
    in_force = least if chosen.min_score is None else LeastScores(chosen.min_score)
    scoring = replace(scoring, threshold=stored.threshold(chosen.alpha), least=in_force)
    return Recogniser(task, chosen, folder, choices, scoring, least)


def _failed(given: TextInput) -> TextResult:
    return TextResult(given.text, given.id, error=given.error, gold=given.gold)


@lru_cache(maxsize=4)  # a pool of processes sends its function along with every piece of work
def _opened_again(folder: str, options: tuple[tuple[str, Any], ...]) -> Recogniser:
    return load(folder, **dict(options))


def _after_fork() -> None:
    """In the new process: the threads of the old one, which may hold a lock or be waited for, are not there."""
    torch.set_num_threads(1)
    for ner in _ALL:
        ner._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
