"""Patches for third-party libraries. Importing this package applies all of them; later calls do nothing.

Import it before fastNLP or fitlog. The patches are the only place that checks the version of a library.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from genner.patches import fastnlp, fitlog

__all__ = ["apply_all"]

logger = logging.getLogger(__name__)

# The order matters: fastNLP imports fitlog, and later patches may import both.
_PATCHES: tuple[Callable[[], bool], ...] = (
    fastnlp.provide_pkg_resources,
    fastnlp.choose_torch_backend,
    fitlog.provide_numpy_str,
)
_done: dict[str, bool] = {}


def apply_all() -> dict[str, bool]:
    """Apply every patch once.

    Returns:
        For each patch, by name, whether it changed anything (False: the installed version does not need it).
    """
    for patch in _PATCHES:
        name = f"{patch.__module__}.{patch.__name__}"
        if name in _done:
            continue
        _done[name] = patch()
        logger.info("%s: %s", name, "applied" if _done[name] else "not needed here")
    return dict(_done)


apply_all()
