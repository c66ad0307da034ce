"""Patches for fastNLP 1.0.1, the final release. Both must run before ``import fastNLP``."""

from __future__ import annotations

import datetime
import importlib.metadata
import importlib.util
import os
import sys
import types
import warnings

import packaging.version

__all__ = ["choose_torch_backend", "provide_pkg_resources"]


def provide_pkg_resources() -> bool:
    """Provide a stand-in for ``pkg_resources`` if setuptools no longer has it.

    Symptom: ``import fastNLP`` raises ``ModuleNotFoundError: No module named 'pkg_resources'``.
    Cause: ``fastNLP/envs/utils.py`` and three more files import it; setuptools 82 removed it
        (https://setuptools.pypa.io/en/latest/history.html).
    Applies: fastNLP <= 1.0.1 with setuptools >= 82 or without setuptools. Older setuptools warn on import,
        which is silenced here.
    Remove when: fastNLP no longer imports ``pkg_resources``.

    Returns:
        Whether this call installed the stand-in.
    """
    if "pkg_resources" in sys.modules:
        return False
    if importlib.util.find_spec("pkg_resources") is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("pkg_resources")
        return False
    # Only the three names that fastNLP uses: any other name still raises ImportError.
    module = types.ModuleType("pkg_resources", "Stand-in for the module that setuptools 82 removed.")
    module.DistributionNotFound = importlib.metadata.PackageNotFoundError
    module.get_distribution = importlib.metadata.distribution
    module.parse_version = packaging.version.parse
    sys.modules["pkg_resources"] = module
    return True


def choose_torch_backend() -> bool:
    """Set fastNLP's backend to torch, and its launch time.

    Symptom: ``import fastNLP`` looks for all four of its backends, reads ``~/.fastNLP/envs/*.json`` and may print
        the backend that it found there; processes started together do not share a launch time.
    Cause: ``fastNLP/envs/set_backend.py`` and ``set_env_on_import.py`` decide at import, from the environment.
    Applies: fastNLP 1.0.x. Values already in the environment are kept.
    Remove when: fastNLP takes its backend as an argument.

    Returns:
        Whether this call set a variable.
    """
    launch_time = datetime.datetime.now().strftime("%Y-%m-%d-%H_%M_%S_%f")
    missing = {
        name: value
        for name, value in {"FASTNLP_BACKEND": "torch", "FASTNLP_LAUNCH_TIME": launch_time}.items()
        if name not in os.environ
    }
    os.environ.update(missing)
    return bool(missing)
