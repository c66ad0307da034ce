"""The formulations: each is a package here, with ``Settings`` in ``settings.py`` and ``Formulation`` in ``task.py``.

They are found by their names and imported when they are asked for: nobody pays for one that is not used.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from genner.errors import ConfigError
from genner.settings import FormulationSettings

__all__ = ["formulation_class", "names", "settings_of"]


def names() -> list[str]:
    """The formulations that there are."""
    return sorted(found.name for found in iter_modules(__path__) if found.ispkg)


def settings_of(name: str) -> type[FormulationSettings]:
    """The type of a formulation's block in recipes; imports neither torch nor the formulation itself.

    Raises:
        ConfigError: no such formulation; names those that exist.
    """
    return _module(name, "settings").Settings


def formulation_class(name: str) -> Any:
    """The class of a formulation, see :class:`genner.formulations.base.Formulation`.

    Raises:
        ConfigError: no such formulation; names those that exist.
    """
    return _module(name, "task").Formulation


def _module(name: str, part: str) -> ModuleType:
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ConfigError(f"formulation: unknown name {name!r}{hint}. Expected one of {', '.join(known)}. Choose one.")
    return import_module(f"{__name__}.{name}.{part}")
