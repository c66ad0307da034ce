"""Which files below a folder are data: not those that are hidden or a system's; links to folders are followed once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from genner.data.tally import Tally
from genner.errors import DataFormatError

__all__ = ["files_below", "is_clutter", "walk"]

_CLUTTER = frozenset({"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__pycache__", "$recycle.bin"})


def is_clutter(name: str) -> bool:
    """Whether a file or folder is hidden, or one that a system or an editor keeps beside the files of its user.

    >>> [name for name in ("._a.txt", "__MACOSX", "Thumbs.db", "~$a.txt", "a.txt~", "a.txt") if not is_clutter(name)]
    ['a.txt']
    """
    return name.startswith((".", "~$")) or name.endswith("~") or name.casefold() in _CLUTTER


def files_below(root: Path, tally: Tally) -> list[Path]:
    """All files of data below a folder, in a fixed order.

    Raises:
        DataFormatError: a folder cannot be read.
    """
    found = []
    for folder, names in walk(root, tally, _refuse):
        for path in map(folder.joinpath, names):
            if path.is_file():
                found.append(path)
            else:
                tally.add("neither file nor folder, left out", _place(path, root))
    return found


def walk(root: Path, tally: Tally, refused: Callable[[OSError], None]) -> Iterator[tuple[Path, list[str]]]:
    """Every folder from ``root`` down, sorted, with the sorted names of what else lies in it.

    Folders behind symbolic links come last, each once; one that is read anyway, or that ``root`` lies in, is left out.

    Args:
        root: the folder.
        tally: counts what is left out.
        refused: gets the error of a folder that cannot be read.
    """
    read = set(map(_identity, root.resolve().parents))
    waiting = [root]
    while waiting:
        start = waiting.pop(0)
        if _identity(start) in read:
            tally.add("folder behind a symbolic link that is read already, left out", _place(start, root))
            continue
        linked: list[Path] = []
        for where, folders, names in os.walk(start, onerror=refused):
            folder = Path(where)
            if _identity(folder) in read:
                folders.clear()
                continue
            read.add(_identity(folder))
            for kind, some in (("folder", folders), ("file", names)):
                for name in filter(is_clutter, some):
                    what = "hidden" if name.startswith(".") else "system"
                    tally.add(f"{what} {kind}, left out", _place(folder / name, root))
            wanted = sorted(name for name in folders if not is_clutter(name))
            linked += [folder / name for name in wanted if (folder / name).is_symlink()]
            folders[:] = [name for name in wanted if not (folder / name).is_symlink()]  # os.walk follows this order
            yield folder, sorted(name for name in names if not is_clutter(name))
        waiting += sorted(linked)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _place(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _refuse(error: OSError) -> None:
    raise DataFormatError(
        f"{error.filename}: cannot be read ({error.strerror}). Expected a readable folder. Change its permissions, or "
        "move it away."
    ) from None
