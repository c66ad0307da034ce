"""Writing files and folders so that a reader, or a run that was killed, never meets half of one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

__all__ = [
    "clear_leftovers",
    "recover_folder",
    "replace_file",
    "replace_folder",
    "replace_link",
    "write_json",
    "write_text",
]


@contextlib.contextmanager
def replace_file(path: Path, *, keep_old_as: Path | None = None) -> Iterator[BinaryIO]:
    """Open a binary file that takes the place of ``path`` when the block ends well, and vanishes when it does not.

    Missing parent folders are made. The content is on the disk before the name is, so that a power cut leaves either
    the old file or the new one. ``keep_old_as`` is a second name that the old file gets, in the same folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep_old_as is not None and path.exists():
            _name_as_well(path, keep_old_as)
        os.replace(temporary, path)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):  # torch hides a full disk behind "unexpected pos"
            raise error.__context__ from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def clear_leftovers(folder: Path) -> None:
    """Remove what killed writers left in ``folder``; only for one who knows that nobody else is writing there."""
    for path in folder.glob(".*.tmp"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by a UTF-8 file holding ``text``."""
    with replace_file(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` by an indented JSON file; NaN and infinity, which JSON does not have, raise ValueError."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def replace_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Let ``fill`` write into a new empty folder that then takes the place of ``path``.

    A folder cannot be exchanged in one step: for an instant the old one is called ``.<name>.old``. A process killed in
    that instant leaves no ``path``; :func:`recover_folder` puts the old one back.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    recover_folder(path)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        fill(temporary)
        move_folder(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def move_folder(source: Path, path: Path) -> None:
    """Let the folder ``source`` take the place of ``path``, see :func:`replace_folder`."""
    recover_folder(path)
    try:
        if path.exists():
            os.rename(path, _old_name(path))
        os.rename(source, path)
    finally:
        recover_folder(path)


def recover_folder(path: Path) -> None:
    """Undo what a killed :func:`replace_folder` left: the old folder gets its name back, or goes."""
    old = _old_name(path)
    if old.exists():
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(old, path)


def replace_link(link: Path, target: Path) -> None:
    """Make ``link`` a symbolic link to the folder ``target``, relative, so that the tree can be moved.

    Where the system or the user's rights allow no such links, it becomes a copy of the folder, made of hard links
    where there are any.
    """
    temporary = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        temporary.symlink_to(os.path.relpath(target, link.parent), target_is_directory=True)
    except (OSError, NotImplementedError):
        if link.is_symlink():
            link.unlink()
        replace_folder(link, lambda folder: shutil.copytree(target, folder, copy_function=_copy, dirs_exist_ok=True))
        return
    if link.is_dir() and not link.is_symlink():  # such a copy
        shutil.rmtree(link)
    os.replace(temporary, link)


def _copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _name_as_well(path: Path, second: Path) -> None:
    """Give a file a second name in one step; where there are no hard links, ``path`` has no file for an instant."""
    temporary = second.with_name(f".{second.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:
        os.replace(path, second)
    else:
        os.replace(temporary, second)


def _old_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")
