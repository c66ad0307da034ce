"""Names that are folders and files on Linux, macOS and Windows alike."""

from __future__ import annotations

import os
import re

__all__ = ["folder_name_problem", "is_device"]

_FOLDER_NAME = re.compile(r"\w(?:[\w.-]*[\w-])?")
_MOST_BYTES = 100  # endings are added to it
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.|$)", re.IGNORECASE)


def is_device(name: str) -> bool:
    """Whether Windows keeps a name for a device, whatever follows a dot.

    >>> is_device("con.txt"), is_device("console")
    (True, False)
    """
    return _DEVICE.match(name) is not None


def folder_name_problem(name: str, *, n_added: int = 0) -> str:
    """Why ``name`` cannot name a folder on every system, and what can; empty if it can. ``n_added`` bytes will follow.

    >>> folder_name_problem("lr_2e-5"), folder_name_problem("a/b")[:24]
    ('', "'a/b' cannot name a fold")
    """
    is_name = _FOLDER_NAME.fullmatch(name) and len(os.fsencode(name)) <= _MOST_BYTES - n_added
    if is_name and not is_device(name):
        return ""
    shown = name if len(name) <= _MOST_BYTES else f"{name[:20]}... of {len(name)} characters"
    return (
        f"{shown!r} cannot name a folder everywhere. Expected at most {_MOST_BYTES - n_added} bytes of letters, "
        "digits, '_', '-' and '.', the first a letter, digit or '_', the last no '.', and no device of Windows such as "
        "CON."
    )
