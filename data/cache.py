"""Encoded splits on disk: plain integers in safetensors files that are rebuilt whenever anything about them is odd."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from files import replace_file

__all__ = ["CacheFile", "CacheStatus", "digest_of", "flatten", "unflatten"]

#: Goes into every digest: raise it whenever the layout of the files changes.
_LAYOUT = "genner-cache-1"

CacheStatus = Literal["off", "hit", "miss", "stale: rebuilt", "damaged: rebuilt"]

_logger = logging.getLogger(__name__)


def digest_of(settings: Mapping[str, Any], columns: Iterable[Sequence[Any]]) -> str:
    """Digest of settings and raw data, hexadecimal: equal inputs and nothing else give the same one."""
    digest = hashlib.sha256(f"{_LAYOUT}\n{json.dumps(settings, sort_keys=True)}".encode())
    for column in columns:
        digest.update(json.dumps(column, separators=(",", ":")).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def flatten(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of different lengths as their values end to end and their lengths, both int32."""
    lens = np.fromiter(map(len, rows), dtype=np.int32, count=len(rows))
    return np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(lens.sum())), lens


def unflatten(values: np.ndarray, lens: np.ndarray) -> list[list[int]]:
    """What :func:`flatten` took apart. Raises ``ValueError`` if the two do not belong together."""
    if len(values) != int(lens.sum()) or int(lens.min(initial=0)) < 0:
        raise ValueError(f"{len(values)} values for lengths that add up to {int(lens.sum())}")
    flat = values.tolist()
    return [flat[start:end] for start, end in pairwise(accumulate(lens.tolist(), initial=0))]


@dataclass(frozen=True)
class CacheFile:
    """One file of the cache: named integer arrays and a JSON note, checked by a digest of their own.

    Nothing that is read here can execute: a file is a safetensors header and raw numbers.

    Args:
        path: where it lies; the name holds (part of) ``digest``.
        digest: of everything that shaped the contents, see :func:`digest_of`.
    """

    path: Path
    digest: str

    def load(self) -> tuple[dict[str, np.ndarray] | None, dict[str, Any], CacheStatus]:
        """Arrays and note, or ``None`` and the reason: ``miss``, ``stale: rebuilt`` or ``damaged: rebuilt``."""
        if not self.path.exists():
            return None, {}, "miss"
        try:
            with safe_open(self.path, framework="np") as file:
                header = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            note = json.loads(header["note"])
            if header["check"] != _check(arrays, header["digest"], header["note"]):
                raise ValueError("the contents do not match their digest")
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, OverflowError) as error:
            _logger.warning("%s: damaged (%s); it is rebuilt.", self.path, error)
            return None, {}, "damaged: rebuilt"
        if header["digest"] != self.digest:
            _logger.warning("%s: made from other data or settings; it is rebuilt.", self.path)
            return None, {}, "stale: rebuilt"
        return arrays, note, "hit"

    def store(self, arrays: Mapping[str, np.ndarray], note: Mapping[str, Any]) -> None:
        """Write the file in one step; a folder that cannot be written to is reported and otherwise harmless."""
        text = json.dumps(note)
        header = {"digest": self.digest, "note": text, "check": _check(arrays, self.digest, text)}
        try:
            with replace_file(self.path) as file:
                file.write(save(dict(arrays), metadata=header))
        except OSError as error:
            _logger.warning("%s: not written (%s); the next run encodes again.", self.path, error)


def _check(arrays: Mapping[str, np.ndarray], digest: str, note: str) -> str:
    """Digest of what a file says, independent of how it is laid out."""
    update: Callable[[bytes], None] = (total := hashlib.sha256()).update
    update(f"{digest}\n{note}\n".encode())
    for name in sorted(arrays):
        array = arrays[name]
        update(f"{name} {array.dtype} {array.shape}\n".encode())
        update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
