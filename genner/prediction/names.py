"""Names of files for ids of texts: valid on Linux, macOS and Windows, unique, always the same; and back to the ids."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

from genner.data.folders import is_clutter
from genner.data.records import known_id
from genner.data.tally import Tally
from genner.data.utf8 import read_raw
from genner.errors import DataFormatError
from genner.names import is_device

__all__ = ["BRAT_FILES", "IDS", "FileNames", "names_file", "read_names"]

#: Beside written files: which id a file has, where its name does not say.
IDS = "ids.conf"
#: Files in a folder of brat's that are no texts.
BRAT_FILES = frozenset({IDS, "annotation.conf", "visual.conf", "tools.conf", "kb_shortcuts.conf"})

_LONGEST = 120  # bytes of a part; with an ending, a number and what tools append it stays below 143, the least limit
_LONGEST_PATH, _DEEPEST = 180, 8  # bytes and parts of a path; Windows takes 260 characters with all folders around it
_FORBIDDEN = frozenset('<>:"\\|?*')
_ENDINGS = (".txt", ".ann", ".conf")  # of files; a folder must not look like one


class FileNames:
    """Gives every id a name of its own; names depend on the ids so far and their order only."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}  # the last one that was given to a name

    def name(self, text_id: str) -> str:
        """The path of a file, without its ending, for the next text.

        >>> names = FileNames()
        >>> [names.name(one) for one in ("notes:1", "a/b", "A/B", "../x", "CON", "note.txt/1", "")]
        ['notes_1', 'a/b', 'A/B-2', '__/x', '_CON', 'note.txt_/1', '_']
        """
        stem = _path(text_id)
        key = _folded(stem)
        unique = stem
        while _folded(unique) in self._taken:
            number = self._numbers.get(key, 1) + 1
            self._numbers[key] = number
            unique = f"{stem}-{number}"
        self._taken.add(_folded(unique))
        return unique


def names_file(pairs: Iterable[tuple[str, str]]) -> str:
    """The content of :data:`IDS`: a JSON list per line, of a name and the id that belongs to it."""
    return "".join(json.dumps(list(pair)) + "\n" for pair in pairs)


def read_names(folder: Path, tally: Tally) -> dict[str, str]:
    """Name -> id, as :data:`IDS` says; empty if there is no such file."""
    path = folder / IDS
    if not path.is_file():
        return {}
    found = {}
    try:
        for line in read_raw(path).splitlines():
            name, text_id = json.loads(line)
            if isinstance(name, str) and known_id(text_id):
                found[name] = str(text_id)
    except (DataFormatError, ValueError, TypeError, RecursionError):
        tally.add(f"{IDS} that cannot be read, so that ids are the names of the files", str(path))
    return found


def _path(text_id: str) -> str:
    *folders, last = [part for part in text_id.split("/") if part not in ("", ".")] or ["_"]
    parts = [*(_part(part, is_folder=True) for part in folders), _part(last)]
    path = "/".join(parts)
    if len(parts) <= _DEEPEST and len(path.encode()) <= _LONGEST_PATH:
        return path
    digest = blake2b(text_id.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return f"{_cut(parts[-1], _LONGEST - 13)}-{digest}"


def _part(part: str, *, is_folder: bool = False) -> str:
    """A part of a path that every system takes and no reader of folders passes over."""
    plain = "".join(map(_sign, unicodedata.normalize("NFC", part)))
    plain = _cut(plain, _LONGEST)
    plain = re.sub(r"^[. ]|[. ~]$", "_", plain)
    if is_clutter(plain) or is_device(plain):
        plain = f"_{plain}"
    return f"{plain}_" if is_folder and plain.casefold().endswith(_ENDINGS) else plain


def _sign(char: str) -> str:
    is_hidden = unicodedata.category(char)[0] == "C" or char in "\u2028\u2029"
    return "_" if is_hidden or char in _FORBIDDEN else char


def _cut(text: str, n_bytes: int) -> str:
    return text.encode()[:n_bytes].decode("utf-8", "ignore")


def _folded(path: str) -> str:
    """Equal for names that some system takes for the same."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())
