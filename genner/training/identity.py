"""What makes two runs the same: the settings that affect scores, the data, the labels. Versions are recorded too."""

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
    """What makes two runs the same, in plain JSON values.

    Attributes:
        settings: by dotted name, only those that affect scores.
        data: by split ``{"sentences", "entities", "sha256", ...}``; other counts are kept but not compared.
        labels: tags, in the order in which they are numbered.
        versions: of the libraries that affect scores.
    """

    settings: Mapping[str, Any]
    data: Mapping[str, Mapping[str, Any]]
    labels: tuple[str, ...]
    versions: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> RunIdentity:
        """The identity in a ``run.json``; raises a ConfigError if it is missing, damaged or of another format."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") == _FORMAT:
                return cls(**{**content, "labels": tuple(content["labels"])})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        raise ConfigError(
            f"{path}: missing, damaged or written by another version. Expected the file that training writes. "
            "Choose another --run_name, or remove the folder."
        )

    def write(self, path: Path) -> None:
        """Replace a ``run.json``."""
        write_json(path, {"format": _FORMAT} | asdict(self))


def differences(old: RunIdentity, new: RunIdentity) -> Iterator[str]:
    """Why a run is not the same as the one before, one reason at a time; nothing if it is."""
    for name in sorted(old.settings.keys() | new.settings.keys()):
        before, now = (_shown(identity.settings, name) for identity in (old, new))
        if before != now:
            yield f"{name} was {before} and is now {now}"
    for split in dict.fromkeys([*old.data, *new.data]):
        yield from _data_differences(split, old.data.get(split), new.data.get(split))
    for what, labels in (("removed", set(old.labels) - set(new.labels)), ("added", set(new.labels) - set(old.labels))):
        if labels:
            yield f"labels {what}: {', '.join(sorted(labels))}"
    if old.labels != new.labels and set(old.labels) == set(new.labels):
        yield "labels in a different order"


def version_changes(old: RunIdentity, new: RunIdentity) -> list[str]:
    """The libraries whose versions have changed, which does not make it a different run."""
    names = sorted(old.versions.keys() | new.versions.keys())
    pairs = [(name, old.versions.get(name, "none"), new.versions.get(name, "none")) for name in names]
    return [f"{name} {before} -> {now}" for name, before, now in pairs if before != now]


def _shown(settings: Mapping[str, Any], name: str) -> str:
    # As JSON, where a tuple is a list, as in the file.
    return json.dumps(settings[name], ensure_ascii=False) if name in settings else "not set"


def _data_differences(split: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Iterator[str]:
    if old is None or new is None:
        yield f"data: {split} {'is new' if old is None else 'is now missing'}"
    elif old["sha256"] != new["sha256"]:
        counts = [f"{name}: {old[name]:,} before, {new[name]:,} now" for name in _COUNTS if old[name] != new[name]]
        yield f"data: {split} differs ({'; '.join(counts) or 'same counts, different content'})"
