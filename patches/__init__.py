"""What third-party libraries need from us. Importing this package applies every patch; later calls change nothing.

Import it before fastNLP or fitlog. The patches are the only place that looks at the version of a library.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from genner.patches import fastnlp, fitlog

__all__ = ["apply_all"]

logger = logging.getLogger(__name__)

# In the order in which they must run: fastNLP imports fitlog, and both may be imported by the later ones.
_PATCHES: tuple[Callable[[], bool], ...] = (
    fastnlp.provide_pkg_resources,
    fastnlp.choose_torch_backend,
    fitlog.provide_numpy_str,
)
_done: dict[str, bool] = {}


def apply_all() -> dict[str, bool]:
    """Apply every patch once and say which of them were needed here.

    Returns:
        For each patch, by name, whether it changed anything (False: this version of the library does not need it).
    """
    for patch in _PATCHES:
        name = f"{patch.__module__}.{patch.__name__}"
        if name in _done:
            continue
        _done[name] = patch()
        logger.info("%s: %s", name, "applied" if _done[name] else "not needed here")
    return dict(_done)


apply_all()
