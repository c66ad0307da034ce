"""The recogniser: a trained model that reads texts. Texts come and go one by one; the decoder works on many at once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch

import genner.patches  # noqa: F401  before fastNLP
from genner.config import Recipe, load_recipe
from genner.data.schema import Segment
from genner.errors import ConfigError, DataFormatError, MissingBackendError, NerError
from genner.formulations import Predictor, formulation_of
from genner.model.lighter import lighten
from genner.prediction.hub import resolve_model
from genner.prediction.passages import Answer, PassageReader
from genner.prediction.results import TextEntity, TextInput, TextResult, place_entity, words_joined
from genner.prediction.scoring import Scoring, choose_scoring
from genner.prediction.text import TextSplitter

__all__ = ["PredictOptions", "Recogniser", "load"]

PASSAGES = ("sentence", "document")

_USUAL_PIECES = 512  # of a window, where positions are relative
_SMALLEST_WINDOW = 16
_AS_THEY_ARE = Scoring()


@dataclass(frozen=True)
class PredictOptions:
    """How texts are read.

    Attributes:
        language: a code of spaCy's for words and sentences; ``xx`` for any language.
        words: ``spacy``; ``plain``: the rules by which ``genner prepare`` makes corpora; ``blanks``: words are
            parted by white space, sentences by line ends.
        passage: what the model reads at once: a ``sentence``, or the ``document`` in windows as large as it takes.
        window: most pieces of a window; None: the longest source of the training, as far as it is known.
        overlap: words that windows of a passage share; None: half of a window. Entities up to this long are found.
        batch_size: windows that are decoded at once.
        num_beams: None: as in training.
        scores: what the score of an entity is, see :data:`genner.model.entity_scores.SCORES`; ``nbest`` needs several
            beams.
        candidates: ``nbest``: the entities of all hypotheses instead of those of the best; they may contradict each
            other.
        calibrated: scores are probabilities, where the model folder says how such scores become some.
        min_score: entities below it are left out.
        alpha: miss at most this share of a sentence's entities, on average; candidates that are sure enough are then
            handed out. The model folder has to say which.
        max_chars: longer texts are refused.
        chunk_words: texts of so many words are read together; more of them fill the decoder better and need memory.
        device: ``cpu``, ``cuda``, ``cuda:1`` ...; ``auto`` takes a GPU if there is one.
        form: of the model on a CPU, see :func:`genner.model.lighter.lighten`.
    """

    language: str = "en"
    words: str = "spacy"
    passage: str = "sentence"
    window: int | None = None
    overlap: int | None = None
    batch_size: int = 64
    num_beams: int | None = None
    scores: str = "symbols"
    candidates: bool = False
    calibrated: bool = True
    min_score: float = 0.0
    alpha: float | None = None
    max_chars: int = 1_000_000
    chunk_words: int = 20_000
    device: str = "auto"
    form: str = "float32"

    def __post_init__(self) -> None:
        rules = (
            (self.passage in PASSAGES, "passage", f"one of {', '.join(PASSAGES)}"),
            (self.window is None or self.window >= _SMALLEST_WINDOW, "window", f"at least {_SMALLEST_WINDOW} pieces"),
            (self.overlap is None or self.overlap >= 0, "overlap", "0 words or more"),
            (self.batch_size >= 1, "batch_size", "1 or more"),
            (self.num_beams is None or self.num_beams >= 1, "num_beams", "1 or more"),
            (0 <= self.min_score <= 1, "min_score", "a number from 0 to 1"),
            (self.max_chars >= 1, "max_chars", "1 or more"),
            (self.chunk_words >= 1, "chunk_words", "1 or more"),
        )
        wrong = [f"{name} is {getattr(self, name)!r}. Expected {what}." for good, name, what in rules if not good]
        if wrong:
            raise ConfigError("\n".join(wrong))


class Recogniser:
    """Finds entities in texts; made by :func:`load`. Safe to be called from several threads, which wait for each other.

    Args:
        predictor: the trained model.
        options: how texts are read.
        folder: where the model lies.
        kind: what its entities look like: ``flat``, ``nested`` or ``discontinuous``.
        scoring: which entities are handed out, and with which scores.

    Attributes:
        labels: types, in the order of the model.
    """

    def __init__(
        self, predictor: Predictor, options: PredictOptions, folder: Path, kind: str, scoring: Scoring = _AS_THEY_ARE
    ) -> None:
        self.predictor, self.options, self.folder, self.kind = predictor, options, folder, kind
        self.scoring = scoring
        self.labels = predictor.labels.tags
        self._splitter = TextSplitter(options.language, options.words)
        window = min(options.window or _USUAL_PIECES, predictor.max_pieces or sys.maxsize)
        self._reader = PassageReader(predictor, window, options.overlap, options.batch_size)
        self._lock = threading.Lock()

    def __call__(self, texts: str | Iterable[str]) -> TextResult | list[TextResult]:
        """The entities of one text, or of each of several.

        Raises:
            DataFormatError: the one text cannot be read; of several texts, such a one has an ``error``.
        """
        if not isinstance(texts, str):
            return list(self.stream(texts))
        result = next(self.stream([texts]))
        if result.error is not None:
            raise DataFormatError(result.error)
        return result

    def predict_words(self, sentences: Iterable[Sequence[str]]) -> list[TextResult]:
        """The entities of sentences whose words are given; characters count in the words joined by blanks."""
        return list(self.stream(map(words_joined, sentences)))

    def stream(self, inputs: Iterable[TextInput | str]) -> Iterator[TextResult]:
        """Read any number of texts in bounded memory.

        Texts are taken in until they have ``chunk_words`` words, decoded together, the longest sentences first, and
        given out in their order. A text that cannot be read gets a result with an ``error``; the others go on.
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
        """Read some texts; if that fails, in ever smaller parts, so that it fails for as few of them as possible."""
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
        with self._lock:
            answers = self._reader.read([text.surfaces(span) for text, span in spans])
        by_text: dict[int, list[tuple[int, Answer]]] = {}
        for (text, span), answer in zip(spans, answers, strict=True):
            by_text.setdefault(id(text), []).append((span.start, answer))
        return [self._result(text, by_text.get(id(text), [])) for text in texts]

    def _result(self, text: _Text, answers: Sequence[tuple[int, Answer]]) -> TextResult:
        given = text.given
        if given.error is not None:
            return _failed(given)
        entities = [
            place_entity(entity.shifted(offset), given.text, text.words, score)
            for offset, answer in answers
            for entity, score in self.scoring(answer.entities).items()
        ]
        entities.sort(key=_reading_order)
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
    """A text on its way."""

    given: TextInput
    words: tuple[Segment, ...] = ()
    sentences: tuple[Segment, ...] = ()

    def passages(self, unit: str) -> list[Segment]:
        """Word spans of what the model reads at once."""
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
        options: see :class:`PredictOptions`.

    Raises:
        DataFormatError: the folder or one of its files is missing, damaged or of a newer format.
        ConfigError: an option that cannot be used.
        MissingBackendError: a device that is not there, or a model that the hub does not give.
    """
    known = {field.name for field in fields(PredictOptions)}
    if unknown := sorted(options.keys() - known):
        hint = get_close_matches(unknown[0], known, n=1)
        near = f" (did you mean {hint[0]!r}?)" if hint else ""
        raise ConfigError(f"load: unknown option {unknown[0]!r}{near}. Expected some of {', '.join(sorted(known))}.")
    chosen = PredictOptions(**options)
    folder = resolve_model(model)
    recipe = _recipe_of(folder)
    scoring, stored = choose_scoring(folder, chosen, recipe.generation.num_beams)
    recipe = replace(recipe, generation=replace(recipe.generation, num_beams=scoring.kind.num_beams))
    kind = scoring.kind
    predictor = formulation_of(recipe).restore(folder, scores=kind.scores, candidates=kind.candidates)
    if chosen.window is None and stored.longest_source is not None:
        # The special pieces are counted in one and not in the other.
        chosen = replace(chosen, window=max(stored.longest_source - predictor.n_special, _SMALLEST_WINDOW))
    predictor.task.to(_device(chosen.device)).eval()
    lighten(predictor.task.model, chosen.form)
    return Recogniser(predictor, chosen, folder, recipe.kind.value, scoring)


def _recipe_of(folder: Path) -> Recipe:
    path = folder / "recipe.yaml"
    if not path.is_file():
        raise DataFormatError(
            f"{folder}: not a model folder, recipe.yaml missing. Expected the folder 'best' of a finished run. Set the "
            "model."
        )
    return load_recipe(path)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise MissingBackendError(f"device: {name!r} cannot be used ({reason}). Expected auto, cpu or cuda.") from None
    return device


def _failed(given: TextInput) -> TextResult:
    return TextResult(given.text, given.id, error=given.error, gold=given.gold)


def _reading_order(entity: TextEntity) -> tuple[Any, ...]:
    return entity.start, -entity.end, entity.segments, entity.type
