"""The report at the end of a run: how much was read and found, what failed or was changed, and the scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from genner.data.tally import Tally
from genner.evaluation.span_f1 import SpanF1
from genner.evaluation.terminal import visible
from genner.prediction.results import TextResult

__all__ = ["Summary"]

_N_MESSAGES = 3


@dataclass
class Summary:
    """Counts results; its :meth:`state` goes into the log of a run, so that a resumed run reports all of it.

    Attributes:
        n_texts: results so far; ``n_failed`` of them are errors.
        n_entities: what was found; n_left_out: what was left out for its score.
        n_noted: texts with notes.
        failures: the first reasons; notes: the first notes.
        written: what the output could not hold, as its writer counts it.
        metric: predicted against known entities, if any are known.
    """

    written: Tally
    n_texts: int = 0
    n_entities: int = 0
    n_left_out: int = 0
    n_failed: int = 0
    n_noted: int = 0
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    metric: SpanF1 = field(default_factory=SpanF1)

    def add(self, result: TextResult) -> None:
        """Count a result."""
        self.n_texts += 1
        self.n_entities += len(result)
        self.n_left_out += result.n_left_out
        if result.error is not None:
            self.n_failed += 1
            _keep_first(self.failures, f"{result.id}: {result.error}")
        if result.notes:
            self.n_noted += 1
            _keep_first(self.notes, f"{result.id}: {'; '.join(result.notes)}")
        if result.gold is not None:
            self._compare(result)

    def state(self) -> dict[str, Any]:
        """All of it as plain values."""
        names = ("n_texts", "n_entities", "n_left_out", "n_failed", "n_noted", "failures", "notes")
        tally = {"counts": dict(self.written.counts), "places": self.written.places}
        return {name: getattr(self, name) for name in names} | {"written": tally, "metric": self.metric.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a :meth:`state`."""
        for name, value in state.items():
            if name == "written":
                self.written.counts.update(value["counts"])
                self.written.places.update(value["places"])
            elif name == "metric":
                self.metric.merge(value)
            else:
                setattr(self, name, value)

    def lines(self, read: Tally, format_name: str) -> list[str]:
        """What to print.

        Args:
            read: what the reader of the input changed or left out.
            format_name: of the output.
        """
        lines = [f"texts {self.n_texts:,}  entities {self.n_entities:,}  failed {self.n_failed:,}"]
        if self.n_left_out:
            lines.append(f"entities left out for low scores: {self.n_left_out:,} (--min_score 0 gives all)")
        lines += _block("failed", self.failures, self.n_failed)
        lines += _block(f"texts with notes {self.n_noted:,}", self.notes, self.n_noted)
        micro = self.metric.compute().micro
        if micro.support:
            scores = f"P {micro.pre:.2f}  R {micro.rec:.2f}  F1 {micro.f:.2f}"
            lines.append(f"against the entities of the input ({micro.support:,}): {scores}")
        for title, tally in (("input, changed or left out", read), (f"not held by {format_name}", self.written)):
            lines += [f"{title}:", *(f"  {visible(line)}" for line in tally.lines())] if tally.counts else []
        return lines

    def _compare(self, result: TextResult) -> None:
        """Compare sentence by sentence; entities across sentence ends, and texts that failed, count on their own."""
        if result.error is not None:
            self.metric.update([entity.words for entity in result.gold], [])
            return
        examples, crossing = result.examples()
        gold, gold_crossing = replace(result, entities=result.gold).examples()
        for known, found in zip(gold, examples, strict=True):
            self.metric.update(known.entities, found.entities)
        if crossing or gold_crossing:
            self.metric.update([one.words for one in gold_crossing], [one.words for one in crossing])


def _keep_first(messages: list[str], message: str) -> None:
    if len(messages) < _N_MESSAGES:
        messages.append(visible(message[:1000]))


def _block(title: str, messages: list[str], n_all: int) -> list[str]:
    if not messages:
        return []
    more = [f"  ... and {n_all - len(messages):,} more"] if n_all > len(messages) else []
    return [f"{title}:", *(f"  {message}" for message in messages), *more]
