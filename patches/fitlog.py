"""Patches for fitlog 0.9.15, the final release."""

from __future__ import annotations

import importlib
import sys
import types

import numpy

__all__ = ["provide_numpy_str"]


def provide_numpy_str() -> bool:
    """Give fitlog's logger a numpy that still has ``str``.

    Symptom: ``fitlog.add_hyper`` and the other ``add_*`` raise ``module 'numpy' has no attribute 'str'``.
    Cause: ``fitlog/fastlog/logger.py`` uses the alias ``numpy.str``, removed in numpy 1.24
        (https://numpy.org/doc/stable/release/1.24.0-notes.html).
    Applies: fitlog <= 0.9.15 with numpy >= 1.24.
    Remove when: fitlog no longer uses ``numpy.str``.

    Returns:
        Whether this call replaced the logger's numpy.
    """
    importlib.import_module("fitlog.fastlog")
    # ``import fitlog.fastlog.logger as x`` would yield the Logger instance of the same name, not the module.
    logger_module = sys.modules["fitlog.fastlog.logger"]
    if "str" in vars(logger_module.np):  # ``hasattr`` would trigger numpy's warning about its old aliases
        return False
    logger_module.np = _numpy_with_str()
    return True


def _numpy_with_str() -> types.ModuleType:
    """A proxy for numpy with ``str``; numpy itself is unchanged."""
    stand_in = types.ModuleType("numpy", "numpy with the alias `str` that fitlog uses.")
    stand_in.__getattr__ = lambda name: getattr(numpy, name)
    stand_in.str = str
    return stand_in
