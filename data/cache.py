"""Columns on disk: plain integers in memory-mapped safetensors files, rebuilt whenever anything is inconsistent."""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from genner.files import replace_file

__all__ = ["CACHES", "CacheFile", "CacheStatus", "digest_of"]

_CHECKOUT = Path(__file__).resolve().parents[1] / "caches"
_USER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genner"

#: Where the commands keep their caches: in a checkout its own folder, else the user's.
CACHES = _CHECKOUT if _CHECKOUT.is_dir() else _USER

CacheStatus = Literal["off", "hit", "miss", "stale: rebuilt", "damaged: rebuilt"]

#: Part of every digest: increase it whenever the layout of the files or of their columns changes.
_LAYOUT = "genner-cache-3"
_TYPES = {"U8": np.dtype(np.uint8), "I32": np.dtype(np.int32), "I64": np.dtype(np.int64)}
_CODES = {dtype: code for code, dtype in _TYPES.items()}
_CHUNK = 1 << 20

_logger = logging.getLogger(__name__)


def digest_of(settings: Mapping[str, Any]) -> str:
    """Hexadecimal digest of settings, equal just for equal settings. Data is passed as digests."""
    return hashlib.sha256(f"{_LAYOUT}\n{json.dumps(settings, sort_keys=True)}".encode()).hexdigest()


@dataclass(frozen=True)
class CacheFile:
    """One cache file: named integer arrays and a JSON note, with a checksum.

    The arrays are memory-mapped: their pages belong to the file, are shared between processes and can be evicted.
    Reading never executes code: a file is a safetensors header and raw numbers.

    An open file may be replaced (the old one lives on until it is closed) but must not be truncated in place;
    :meth:`store` never does that.

    Args:
        path: of the file; the name contains (part of) ``digest``.
        digest: of everything that affects the contents, see :func:`digest_of`.
    """

    path: Path
    digest: str

    def load(self) -> tuple[dict[str, np.ndarray] | None, dict[str, Any], CacheStatus]:
        """Arrays, note and ``hit``, or None, an empty note and ``miss``, ``stale: rebuilt`` or ``damaged: rebuilt``."""
        if not self.path.exists():
            return None, {}, "miss"
        try:
            with self.path.open("rb") as file:
                header = _read_header(file)
                about = header.pop("__metadata__")
                if about["check"] != _check(header, about["digest"], about["note"], file):
                    raise ValueError("the contents do not match their digest")
                arrays = _map_arrays(header, file)
            note = json.loads(about["note"])
        except (OSError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            _logger.warning("%s: damaged (%s); it is rebuilt.", self.path, error)
            return None, {}, "damaged: rebuilt"
        if about["digest"] != self.digest:
            _logger.warning("%s: created from other data or settings; it is rebuilt.", self.path)
            return None, {}, "stale: rebuilt"
        return arrays, note, "hit"

    def store(self, arrays: Mapping[str, np.ndarray], note: Mapping[str, Any]) -> None:
        """Write the file atomically; an unwritable folder is only logged.

        Args:
            arrays: one-dimensional uint8, int32 or int64.
            note: JSON-serialisable.
        """
        # Wide numbers first, so that every array starts at a multiple of its width.
        ordered = sorted(arrays, key=lambda name: -arrays[name].itemsize)
        header: dict[str, Any] = {}
        sha, end = hashlib.sha256(), 0
        for name in ordered:
            array = arrays[name]
            start, end = end, end + array.nbytes
            header[name] = {"dtype": _CODES[array.dtype], "shape": [len(array)], "data_offsets": [start, end]}
        text = json.dumps(note)
        sha.update(_described(header, self.digest, text))
        for name in ordered:
            sha.update(np.ascontiguousarray(arrays[name]))
        header["__metadata__"] = {"digest": self.digest, "note": text, "check": sha.hexdigest()}
        head = json.dumps(header).encode()
        head += b" " * (-len(head) % 8)
        try:
            with replace_file(self.path) as file:
                file.write(len(head).to_bytes(8, "little") + head)
                for name in ordered:
                    file.write(np.ascontiguousarray(arrays[name]))
        except OSError as error:
            _logger.warning("%s: not written (%s); the next run will recompute it.", self.path, error)


def _read_header(file: BinaryIO) -> dict[str, Any]:
    """The safetensors header; the file is then positioned at the first number."""
    size = file.seek(0, 2)
    file.seek(0)
    header_len = int.from_bytes(file.read(8), "little")
    if header_len > size:
        raise ValueError(f"a header of {header_len} bytes in a file of {size}")
    return json.loads(file.read(header_len))


def _check(header: Mapping[str, Any], digest: str, note: str, file: BinaryIO) -> str:
    """Digest of a file's contents. Its numbers are read, not mapped: mapped pages would count as our memory."""
    sha = hashlib.sha256(_described(header, digest, note))
    while chunk := file.read(_CHUNK):
        sha.update(chunk)
    return sha.hexdigest()


def _described(header: Mapping[str, Any], digest: str, note: str) -> bytes:
    return json.dumps([header, digest, note], sort_keys=True).encode() + b"\n"


def _map_arrays(header: Mapping[str, Any], file: BinaryIO) -> dict[str, np.ndarray]:
    """The arrays as read-only views of the mapped file, which stays open as long as any of them exists."""
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    begin = 8 + int.from_bytes(mapped[:8], "little")
    return {
        name: np.ndarray(about["shape"], _TYPES[about["dtype"]], mapped, begin + about["data_offsets"][0])
        for name, about in header.items()
    }
