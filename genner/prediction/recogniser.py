"""The recogniser: a trained model that reads texts. Texts are given one by one and decoded in batches."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch

from genner.data.schema import Segment
from genner.errors import ConfigError, DataFormatError, NerError
from genner.formulations.base import ReadOptions, Task
from genner.formulations.opening import known_choices, open_task
from genner.model.folder import ModelFolder
from genner.prediction.hub import resolve_model
from genner.prediction.results import TextInput, TextResult, place_entity, words_joined
from genner.prediction.scores import ModelCalibration, Scoring
from genner.prediction.text import MAX_CHARS, TextSplitter
from genner.training.predictions import Prediction
from genner.training.world import choose_device

__all__ = ["PredictOptions", "Recogniser", "load"]

PASSAGES = ("sentence", "document")

_SMALLEST_WINDOW = 16
_AS_THEY_ARE = Scoring()


@dataclass(frozen=True)
class PredictOptions:
    """How texts are read.

    Attributes:
        language: spaCy's code of the language, for words and sentences; ``xx`` for any language.
        words: ``spacy``; ``plain``: the rules with which ``genner prepare`` makes corpora; ``blanks``: words are
            separated by white space, sentences by line ends.
        passage: what the model reads at once: a ``sentence``, or the ``document`` in windows as large as it takes.
        window: the most that the model reads at once, in its own units, such as pieces; None: what it was trained on.
        overlap: words that windows of a passage share; None: half a window. Entities up to this length are found.
        batch_size: windows that are decoded at once.
        calibrated: make scores probabilities, if the model folder has a calibration of such scores.
        min_score: entities below it are left out.
        alpha: miss at most this share of a sentence's entities, on average: all candidates above a threshold are
            returned. The misses of the model must have been measured.
        max_chars: longer texts are refused.
        chunk_words: texts of about so many words are read together; more use the decoder better and need more memory.
        device: ``cpu``, ``cuda``, ``cuda:1`` ...; ``auto`` takes a GPU if there is one.
    """

    language: str = "en"
    words: str = "spacy"
    passage: str = "sentence"
    window: int | None = None
    overlap: int | None = None
    batch_size: int = 64
    calibrated: bool = True
    min_score: float = 0.0
    alpha: float | None = None
    max_chars: int = MAX_CHARS
    chunk_words: int = 20_000
    device: str = "auto"

    def __post_init__(self) -> None:
        rules = (
            (self.passage in PASSAGES, "passage", f"one of {', '.join(PASSAGES)}"),
            (self.window is None or self.window >= _SMALLEST_WINDOW, "window", f"at least {_SMALLEST_WINDOW} pieces"),
            (self.overlap is None or self.overlap >= 0, "overlap", "0 words or more"),
            (self.batch_size >= 1, "batch_size", "1 or more"),
            (0 <= self.min_score <= 1, "min_score", "a number from 0 to 1"),
            (self.max_chars >= 1, "max_chars", "1 or more"),
            (self.chunk_words >= 1, "chunk_words", "1 or more"),
        )
        wrong = [f"{name} is {getattr(self, name)!r}. Expected {what}." for good, name, what in rules if not good]
        if wrong:
            raise ConfigError("\n".join(wrong))


class Recogniser:
    """Finds entities in texts; made by :func:`load`. Several threads may call it; they wait for each other.

    Args:
        task: the trained model.
        options: how texts are read.
        folder: the model folder.
        choices: those it was opened with.
        scoring: which entities are returned, and with which scores.

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
    ) -> None:
        self.task, self.options, self.folder, self.scoring = task, options, folder.path, scoring
        self.choices, self.kind, self.labels = dict(choices or {}), folder.kind, task.labels.tags
        self._splitter = TextSplitter(options.language, options.words)
        self._reading = ReadOptions(options.window, options.overlap, options.batch_size)
        self._lock = threading.Lock()

    def __call__(self, texts: str | Iterable[str]) -> TextResult | list[TextResult]:
        """The entities of one text, or of each of several.

        Raises:
            DataFormatError: the one text cannot be read; among several, its result has an ``error``.
        """
        if not isinstance(texts, str):
            return list(self.stream(texts))
        result = next(self.stream([texts]))
        if result.error is not None:
            raise DataFormatError(result.error)
        return result

    def predict_words(self, sentences: Iterable[Sequence[str]]) -> list[TextResult]:
        """The entities of sentences given as words; offsets refer to the words joined by blanks."""
        return list(self.stream(map(words_joined, sentences)))

    def stream(self, inputs: Iterable[TextInput | str]) -> Iterator[TextResult]:
        """Read any number of texts in bounded memory.

        Texts are collected until they have ``chunk_words`` words, decoded together, the longest sentences first, and
        returned in order. A text that cannot be read gets a result with an ``error``; the others are not affected.
        """
        waiting: list[_Text] = []
        n_words = 0
        for number, given in enumerate(inputs):
            text = self._open(given, number)
            waiting.append(text)
            n_words += len(text.words)
            if n_words >= self.options.chunk_words:
                yield from self._results(waiting)
                waiting, n_words = [], 0
        if waiting:
            yield from self._results(waiting)

    def _open(self, given: TextInput | str, number: int) -> _Text:
        """A text with its words and sentences."""
        if isinstance(given, str):
            given = TextInput(given, str(number))
        if not isinstance(given, TextInput) or not isinstance(given.text, str):
            found = type(getattr(given, "text", given)).__name__
            return _Text(TextInput("", str(number), error=f"text {number}: a {found}. Expected a string."))
        if not given.id:
            given = replace(given, id=str(number))
        if given.error is not None:
            return _Text(given)
        if len(given.text) > self.options.max_chars:
            limit = self.options.max_chars
            error = f"text {given.id}: {len(given.text):,} characters. Expected at most {limit:,}. "
            return _Text(replace(given, error=error + "Split it, or raise max_chars."))
        if given.words is None:
            with self._lock:
                return _Text(given, *self._splitter.split(given.text))
        whole = (Segment(0, len(given.words)),) if given.words else ()
        return _Text(given, given.words, whole if given.sentences is None else given.sentences)

    def _results(self, texts: Sequence[_Text]) -> list[TextResult]:
        """Read some texts; after an error in ever smaller parts, so that as few of them as possible fail."""
        try:
            return self._read(texts)
        except (NerError, RuntimeError, ValueError, MemoryError) as error:
            if len(texts) > 1:
                half = len(texts) // 2
                return self._results(texts[:half]) + self._results(texts[half:])
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            given = texts[0].given
            return [_failed(replace(given, error=f"text {given.id}: cannot be read: {reason}"))]

    def _read(self, texts: Sequence[_Text]) -> list[TextResult]:
        spans = [(text, span) for text in texts for span in text.passages(self.options.passage)]
        by_text: dict[int, list[tuple[int, Prediction]]] = {}
        with self._lock, torch.no_grad():
            for answer in self.task.read([text.surfaces(span) for text, span in spans], self._reading):
                text, span = spans[answer.example_idx]
                by_text.setdefault(id(text), []).append((span.start, answer))
        return [self._result(text, by_text.get(id(text), [])) for text in texts]

    def _result(self, text: _Text, answers: Sequence[tuple[int, Prediction]]) -> TextResult:
        given = text.given
        if given.error is not None:
            return _failed(given)
        entities = [
            place_entity(entity.shifted(offset), given.text, text.words, score)
            for offset, answer in answers
            for entity, score in self.scoring(dict(zip(answer.entities, answer.scores, strict=True))).items()
        ]
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


def load(model: str | Path, **options: Any) -> Recogniser:
    """Open a trained model.

    Args:
        model: a model folder, such as ``best`` of a finished run, or a model of the hub: ``user/name``, or
            ``user/name@revision``; see :func:`genner.prediction.hub.resolve_model`.
        options: see :class:`PredictOptions`; also what the model's formulation lets be chosen, see docs/prediction.md.

    Raises:
        DataFormatError: the folder or one of its files is missing, damaged or of another format.
        ConfigError: an option that cannot be used.
        MissingBackendError: a device that is not available, or a model that cannot be downloaded.
    """
    folder = ModelFolder.read(resolve_model(model))
    own = {field.name for field in fields(PredictOptions)}
    known = [*own, *known_choices(folder)]
    if unknown := sorted(options.keys() - set(known)):
        hint = get_close_matches(unknown[0], known, n=1)
        near = f" (did you mean {hint[0]!r}?)" if hint else ""
        raise ConfigError(f"load: unknown option {unknown[0]!r}{near}. Expected some of {', '.join(sorted(known))}.")
    chosen = PredictOptions(**{name: value for name, value in options.items() if name in own})
    choices = {name: value for name, value in options.items() if name not in own}
    stored = ModelCalibration.read(folder.path)
    if chosen.alpha is not None:
        choices = stored.choices_for_alpha(folder.path, choices)
    task = open_task(folder, choose_device(chosen.device), choices)
    fitted = stored.of(task.score_kind) if chosen.calibrated else None
    calibration = fitted and fitted.calibration
    scoring = Scoring(task.score_kind, calibration, stored.threshold(chosen.alpha), chosen.min_score)
    return Recogniser(task, chosen, folder, choices, scoring)


def _failed(given: TextInput) -> TextResult:
    return TextResult(given.text, given.id, error=given.error, gold=given.gold)
