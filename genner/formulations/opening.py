"""Opening a model folder, whatever its formulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from genner.errors import ConfigError, DataFormatError
from genner.formulations import formulation_class
from genner.formulations.base import Task
from genner.model.folder import ModelFolder
from genner.settings import Values

__all__ = ["candidate_choices", "known_choices", "open_task"]


def open_task(folder: ModelFolder, device: Any, choices: Mapping[str, Any]) -> Task:
    """The task of a model folder, on its device, ready to predict.

    Args:
        folder: what :meth:`ModelFolder.read` found.
        device: where the model is to be.
        choices: of the formulation's own, see :func:`known_choices`; values may be text.

    Raises:
        DataFormatError: a file is missing or damaged, or of a formulation that this version does not have.
        ConfigError: an unknown choice, or one that cannot be used.
    """
    kind = _class(folder)
    values = Values({"": kind.Open})
    for key, value in choices.items():
        values.set(key, value, folder.formulation)
    if values.problems:
        raise ConfigError("\n".join(values.problems))
    return kind.open(folder, device, **values.values)


def known_choices(folder: ModelFolder) -> list[str]:
    """What may be chosen when such a model is opened."""
    return [field.name for field in fields(_class(folder).Open)]


def candidate_choices(folder: ModelFolder) -> dict[str, Any]:
    """The choices under which its task gives candidates; empty where it cannot."""
    return dict(_class(folder).FOR_CANDIDATES)


def _class(folder: ModelFolder) -> Any:
    try:
        return formulation_class(folder.formulation)
    except ConfigError as error:
        raise DataFormatError(f"{Path(folder.path)}: {error} Update GenNER.") from None
