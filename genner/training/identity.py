"""What makes two runs the same: the settings that shape scores, the data, the labels. Versions are noted beside."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genner.errors import ConfigError
from genner.files import write_json

__all__ = ["RunIdentity", "differences", "version_changes"]

_FORMAT = 1
_COUNTS = ("sentences", "entities")


@dataclass(frozen=True)
class RunIdentity:
    """What makes two runs the same. Only plain values, as JSON holds them.

    Attributes:
        settings: by dotted name, only those that shape scores.
        data: by split ``{"sentences", "entities", "sha256", ...}``; further counts are kept and not compared.
        labels: tags, in the order in which they are numbered.
        versions: of the libraries that move numbers.
    """

    settings: Mapping[str, Any]
    data: Mapping[str, Mapping[str, Any]]
    labels: tuple[str, ...]
    versions: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> RunIdentity:
        """The identity in a ``run.json``.

        Raises:
            ConfigError: the file is missing, damaged or of another format.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") == _FORMAT:
                return cls(**{**content, "labels": tuple(content["labels"])})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        raise ConfigError(
            f"{path}: missing, damaged or of another version. Expected what this version writes. Choose another "
            "--run_name, or remove the folder."
        )

    def write(self, path: Path) -> None:
        """Replace a ``run.json``."""
        write_json(path, {"format": _FORMAT} | asdict(self))


def differences(there: RunIdentity, here: RunIdentity) -> Iterator[str]:
    """Why two runs are not the same, in words; nothing if they are."""
    for name in sorted(there.settings.keys() | here.settings.keys()):
        sides = [_shown(identity.settings, name) for identity in (there, here)]
        if sides[0] != sides[1]:
            yield f"{name} is {sides[0]} there and {sides[1]} here"
    for split in [*there.data, *(split for split in here.data if split not in there.data)]:
        yield from _data_differences(split, there.data.get(split), here.data.get(split))
    yield from _label_differences(there.labels, here.labels)


def version_changes(there: RunIdentity, here: RunIdentity) -> list[str]:
    """The libraries whose versions differ, which does not make a run another one."""
    names = sorted(there.versions.keys() | here.versions.keys())
    pairs = [(name, there.versions.get(name, "none"), here.versions.get(name, "none")) for name in names]
    return [f"{name} {old} there and {new} here" for name, old, new in pairs if old != new]


def _shown(settings: Mapping[str, Any], name: str) -> str:
    # As JSON, in which a tuple is a list, as it is in the file.
    return json.dumps(settings[name], ensure_ascii=False) if name in settings else "not set"


def _data_differences(split: str, there: Mapping[str, Any] | None, here: Mapping[str, Any] | None) -> Iterator[str]:
    if there is None or here is None:
        yield f"data: {split} is only {'here' if there is None else 'there'}"
    elif there["sha256"] != here["sha256"]:
        counts = [
            f"{name}: {there[name]:,} there, {here[name]:,} here" for name in _COUNTS if there[name] != here[name]
        ]
        yield f"data: {split} differs ({'; '.join(counts) or 'same counts, other content'})"


def _label_differences(there: tuple[str, ...], here: tuple[str, ...]) -> Iterator[str]:
    for what, labels in (("only there", set(there) - set(here)), ("only here", set(here) - set(there))):
        if labels:
            yield f"labels {what}: {', '.join(sorted(labels))}"
    if there != here and set(there) == set(here):
        yield "labels in another order"
