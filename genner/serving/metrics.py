"""The metrics of a server, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from genner.prediction.results import TextResult

__all__ = ["METRICS_TYPE", "Metrics"]

#: Media type of :meth:`Metrics.text`.
METRICS_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "genner_requests",
            "Requests by source (api, page) and HTTP status (499: the client disconnected).",
            ["source", "status"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "genner_request_seconds",
            "Time from the arrival of a request to the end of its answer.",
            ["source"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._texts = Counter("genner_texts", "Texts by outcome (read, failed).", ["outcome"], registry=registry)
        self._entities = Counter("genner_entities", "Entities found, by type.", ["type"], registry=registry)
        self._batch_texts = Histogram("genner_batch_texts", "Texts in a batch.", buckets=_TEXTS, registry=registry)
        self._batch_seconds = Histogram(
            "genner_batch_seconds", "Time to read a batch.", buckets=_SECONDS, registry=registry
        )
        self._waiting = Gauge("genner_queue_texts", "Texts waiting in the queue.", registry=registry)
        for outcome in ("read", "failed"):  # shown as zero before there are any
            self._texts.labels(outcome)

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self._registry)

    def watch_queue(self, n_waiting: Callable[[], int]) -> None:
        """Report ``n_waiting()`` as the length of the queue."""
        self._waiting.set_function(n_waiting)

    def know_types(self, labels: Iterable[str]) -> None:
        """Show entity types as zero before the first entity is found."""
        for label in labels:
            self._entities.labels(label)

    def request_ended(self, source: str, status: int, seconds: float) -> None:
        """Record a request from ``api`` or ``page`` that was answered, refused or given up."""
        self._requests.labels(source, str(status)).inc()
        self._request_seconds.labels(source).observe(seconds)

    def batch_read(self, results: Iterable[TextResult], seconds: float) -> None:
        """Record a batch."""
        results = list(results)
        self._batch_texts.observe(len(results))
        self._batch_seconds.observe(seconds)
        for result in results:
            self._texts.labels("read" if result.error is None else "failed").inc()
            for entity in result.entities:
                self._entities.labels(entity.type).inc()
