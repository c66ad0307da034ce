"""The limits of a server, and the error for requests that exceed them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from genner.errors import ConfigError, NerError
from genner.prediction.results import TextInput

__all__ = ["Limits", "RefusedError"]


class RefusedError(NerError):
    """A request that was refused.

    Args:
        status: HTTP status: 413 too large, 503 busy, loading or shutting down, 504 not processed in time.
        message: for the client.
        retry_after: seconds after which to try again; None if that is of no use.
    """

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


@dataclass(frozen=True)
class Limits:
    """The limits of a server.

    Attributes:
        max_chars: characters in a text.
        max_texts: texts in a request.
        max_words: words in a request, counted after its texts were split.
        max_body: bytes in a request.
        max_waiting: texts in the queue, over all requests; more are refused.
        batch_texts: texts in a batch.
        batch_seconds: time that a batch should take at most; longer texts are read beside the batches.
        timeout: seconds after which a request is given up.
    """

    max_chars: int = 20_000
    max_texts: int = 64
    max_words: int = 50_000
    max_body: int = 2 * 2**20
    max_waiting: int = 512
    batch_texts: int = 64
    batch_seconds: float = 0.7
    timeout: float = 60.0

    def __post_init__(self) -> None:
        wrong = [field.name for field in fields(self) if not getattr(self, field.name) > 0]
        if wrong:
            lines = (f"{name} is {getattr(self, name)}. Expected more than 0. Raise it." for name in wrong)
            raise ConfigError("\n".join(lines))
        if self.max_waiting < self.max_texts:
            raise ConfigError(
                f"max_waiting is {self.max_waiting}. Expected at least max_texts ({self.max_texts}): a full request "
                "could never be accepted. Raise max_waiting or lower max_texts."
            )

    def check(self, inputs: Sequence[TextInput]) -> None:
        """Refuse a request that is too large.

        Raises:
            RefusedError: it has too many texts, or a text that is too long.
        """
        if len(inputs) > self.max_texts:
            raise RefusedError(
                413, f"{len(inputs):,} texts. Expected at most {self.max_texts:,} in a request. Split the request."
            )
        for given in inputs:
            if len(given.text) > self.max_chars:
                where = f"text {given.id}: " if len(inputs) > 1 else ""
                raise RefusedError(
                    413, f"{where}{len(given.text):,} characters. Expected at most {self.max_chars:,}. Split the text."
                )

    def check_words(self, inputs: Sequence[TextInput], n_read: int) -> None:
        """Refuse a request with too many words.

        Args:
            inputs: some of its texts, split into words.
            n_read: all texts of the request.

        Raises:
            RefusedError: there are more words than a request may have.
        """
        n_words = sum(len(given.words or ()) for given in inputs)
        if n_words > self.max_words:
            where = "" if len(inputs) == n_read else f" in the first {len(inputs):,} of {n_read:,} texts"
            what = "text" if n_read == 1 else "request"
            raise RefusedError(
                413, f"{n_words:,} words{where}. Expected at most {self.max_words:,} in a request. Split the {what}."
            )
