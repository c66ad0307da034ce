"""What a server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from genner.prediction.results import TextResult

__all__ = ["METRICS_TYPE", "Metrics"]

#: Media type of the text that :meth:`Metrics.text` gives.
METRICS_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counts of one server, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "genner_requests",
            "Requests by where they came in (api, page) and how they ended (HTTP status; 499: the client went away).",
            ["source", "status"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "genner_request_seconds",
            "From the arrival of a request to the end of its answer.",
            ["source"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._texts = Counter("genner_texts", "Texts by outcome (read, failed).", ["outcome"], registry=registry)
        self._entities = Counter("genner_entities", "Entities found, by type.", ["type"], registry=registry)
        self._batch_texts = Histogram(
            "genner_batch_texts", "Texts that were read together.", buckets=_TEXTS, registry=registry
        )
        self._batch_seconds = Histogram(
            "genner_batch_seconds", "Time in which a batch was read.", buckets=_SECONDS, registry=registry
        )
        self._waiting = Gauge("genner_queue_texts", "Texts that wait to be read.", registry=registry)
        for outcome in ("read", "failed"):  # with zero, before there are any
            self._texts.labels(outcome)

    def text(self) -> bytes:
        """All numbers in the text format of Prometheus."""
        return generate_latest(self._registry)

    def watch_queue(self, n_waiting: Callable[[], int]) -> None:
        """Ask for the length of the queue whenever the numbers are asked for."""
        self._waiting.set_function(n_waiting)

    def know_types(self, labels: Iterable[str]) -> None:
        """Show the types with zero before the first entity is found."""
        for label in labels:
            self._entities.labels(label)

    def request_ended(self, source: str, status: int, seconds: float) -> None:
        """A request of ``api`` or ``page`` was answered, refused or given up."""
        self._requests.labels(source, str(status)).inc()
        self._request_seconds.labels(source).observe(seconds)

    def batch_read(self, results: Iterable[TextResult], seconds: float) -> None:
        """Some texts were read together."""
        results = list(results)
        self._batch_texts.observe(len(results))
        self._batch_seconds.observe(seconds)
        for result in results:
            self._texts.labels("read" if result.error is None else "failed").inc()
            for entity in result.entities:
                self._entities.labels(entity.type).inc()
