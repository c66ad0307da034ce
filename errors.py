"""The errors that users see. Each message says where, what was found, what was expected and what to do."""

from __future__ import annotations

__all__ = ["ConfigError", "DataFormatError", "MissingBackendError", "NerError", "SequenceTooLongError"]


class NerError(Exception):
    """Base of every error that a user can cause and mend; ``train.py`` prints it without a traceback."""


class DataFormatError(NerError):
    """A corpus file, a hand-made ``DataBundle`` or a stored artefact does not hold what it should."""


class ConfigError(NerError):
    """A recipe, a command-line option or a combination of them cannot be used."""


class SequenceTooLongError(NerError):
    """A sentence has more pieces than the backbone has positions."""


class MissingBackendError(NerError):
    """A backbone, a tokenizer or a device is not available on this machine."""
