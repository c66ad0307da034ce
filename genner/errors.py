"""The errors that users see. Each message says where, what was found, what was expected and what to do."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

__all__ = [
    "ConfigError", "DataFormatError", "InputTypeError", "MissingBackendError", "NerError", "SequenceTooLongError",
    "import_extra",
]  # fmt: skip


class NerError(Exception):
    """Base of every error that a user can cause and fix; commands print it without a traceback."""


class DataFormatError(NerError):
    """A corpus file, a hand-made ``DataBundle`` or a stored artefact does not hold what it should."""


class ConfigError(NerError):
    """A recipe, a command-line option or a combination of them cannot be used."""


class SequenceTooLongError(NerError):
    """A sentence has more pieces than the backbone has positions."""


class InputTypeError(NerError, TypeError):
    """An argument of a Python function is of a type that it does not take."""


class MissingBackendError(NerError):
    """A backbone, a tokenizer or a device is not available on this machine."""


def import_extra(module: str, requirement: str, *, needed_for: str) -> ModuleType:
    """Import a library that only some options need.

    Args:
        module: its name in Python.
        requirement: its name and versions, as an extra of pyproject.toml lists it.
        needed_for: what needs it, such as an option; the message begins with it.

    Raises:
        MissingBackendError: it is not installed; the last sentence is the command that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingBackendError(
            f"{needed_for}: {module} cannot be imported ({error}). Expected it to be installed. "
            f"Run: {sys.executable} -m pip install {requirement!r}"
        ) from None
