"""What a server takes, and what it says of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from genner.errors import ConfigError, NerError
from genner.prediction.results import TextInput

__all__ = ["Limits", "RefusedError"]


class RefusedError(NerError):
    """A request that is not answered.

    Args:
        status: of HTTP: 413 too large, 503 busy, loading or stopping, 504 not read in time.
        message: for the one who asked.
        retry_after: seconds after which it may be tried again; None: it is of no use.
    """

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Attributes:
        max_chars: of a text.
        max_texts: of a request.
        max_body: bytes of a request.
        max_waiting: texts that wait to be read, of all requests; more are refused.
        batch_texts: texts that are read together.
        batch_chars: of the texts that are read together, which are one at least.
        timeout: seconds in which a request is answered or given up.
    """

    max_chars: int = 20_000
    max_texts: int = 64
    max_body: int = 2 * 2**20
    max_waiting: int = 512
    batch_texts: int = 64
    batch_chars: int = 100_000
    timeout: float = 60.0

    def __post_init__(self) -> None:
        wrong = [field.name for field in fields(self) if not getattr(self, field.name) > 0]
        if wrong:
            raise ConfigError("\n".join(f"{name} is {getattr(self, name)}. Expected more than 0." for name in wrong))
        if self.max_waiting < self.max_texts:
            raise ConfigError(
                f"max_waiting is {self.max_waiting}. Expected at least max_texts ({self.max_texts}): a full request "
                "could never be taken. Raise the one or lower the other."
            )

    def check(self, inputs: Sequence[TextInput]) -> None:
        """See that a request is not too large.

        Raises:
            RefusedError: it is.
        """
        if len(inputs) > self.max_texts:
            raise RefusedError(
                413, f"{len(inputs):,} texts. Expected at most {self.max_texts:,} in a request. Send them in several."
            )
        for given in inputs:
            if len(given.text) > self.max_chars:
                where = f"text {given.id}: " if len(inputs) > 1 else ""
                raise RefusedError(
                    413, f"{where}{len(given.text):,} characters. Expected at most {self.max_chars:,}. Split the text."
                )
