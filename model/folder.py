"""The envelope of a model folder, whatever its formulation; nothing in a folder is executed.

* model.json: format, formulation, kind, labels, and the settings that inference needs
* model.safetensors: the weights, what is shared only once
* config.json and the tokenizer's files, where the model has a backbone, as transformers writes them

Beside them may lie ``calibration.json``, and ``recipe.yaml`` as documentation, which is never read to open a model.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any, NoReturn

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from genner.data.labels import LabelSet
from genner.errors import DataFormatError

__all__ = ["ABOUT", "FORMAT", "WEIGHTS", "ModelFolder", "damaged", "read_weights", "write_weights"]

logger = logging.getLogger(__name__)

FORMAT = 3
ABOUT, WEIGHTS = "model.json", "model.safetensors"
_KINDS = ("flat", "nested", "discontinuous")


@dataclass(frozen=True)
class ModelFolder:
    """What ``model.json`` says.

    Attributes:
        path: the folder.
        formulation: whose model it is.
        kind: what its entities look like: ``flat``, ``nested`` or ``discontinuous``.
        labels: in the order of the model.
        settings: what the formulation needs to use the weights; plain values.
        versions: of the libraries that wrote the folder.
    """

    path: Path
    formulation: str
    kind: str
    labels: LabelSet
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_backbone(cls, spec: str) -> ModelFolder | None:
        """The model of ours that ``--backbone`` names, by its folder or that of its run; None for any other backbone.

        Raises:
            DataFormatError: see :meth:`read`.
        """
        path = Path(os.path.expanduser(spec))
        found = next((folder for folder in (path, path / "best") if os.path.isfile(folder / ABOUT)), None)
        return None if found is None else cls.read(found)

    def digest(self) -> str:
        """Of description and weights: what a training that starts from this model depends on.

        Raises:
            DataFormatError: a file is missing.
        """
        digest = blake2b(digest_size=16)
        try:
            for name in (ABOUT, WEIGHTS):
                with (self.path / name).open("rb") as file:
                    digest.update(file_digest(file, "blake2b").digest())
        except OSError as error:
            damaged(self.path, error)
        return digest.hexdigest()

    def known(self, name: str, schema: type) -> dict[str, Any]:
        """The settings under a name that are fields of a dataclass; others, as of a later version, are logged.

        Raises:
            KeyError, TypeError: there are no such settings.
        """
        found, names = self.settings[name], {one.name for one in fields(schema)}
        if not isinstance(found, Mapping):
            raise TypeError(f"{name} {found!r:.40} in {ABOUT}")
        if unknown := sorted(found.keys() - names):
            logger.warning("%s: %s has settings of a later version: %s, not used", self.path, ABOUT, ", ".join(unknown))
        return {key: value for key, value in found.items() if key in names}

    def write(self) -> None:
        """Write ``model.json``; the folder is made if it is not there."""
        self.path.mkdir(parents=True, exist_ok=True)
        about = {
            "format": FORMAT,
            "formulation": self.formulation,
            "kind": self.kind,
            "labels": self.labels.to_records(),
            "settings": dict(self.settings),
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        }
        text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
        (self.path / ABOUT).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> ModelFolder:
        """Read ``model.json``.

        Raises:
            DataFormatError: no such folder, no model in it, or one of another format.
        """
        path = Path(path)
        if not path.is_dir():
            raise DataFormatError(
                f"{path}: no such model folder. Expected the folder 'best' of a finished run. Name that folder."
            )
        if not (path / ABOUT).is_file():
            raise DataFormatError(
                f"{path}: not a model folder, {ABOUT} is missing. Expected the folder 'best' of a finished run. Name "
                "that folder, or copy the whole of it again."
            )
        try:
            about = json.loads((path / ABOUT).read_text(encoding="utf-8"))
            version = about["format"]
            if version != FORMAT:
                raise DataFormatError(
                    f"{path}: model format {version!r:.40}. Expected {FORMAT}, which this version of GenNER reads. "
                    + ("Update GenNER." if isinstance(version, int) and version > FORMAT else "Train the model again.")
                )
            labels = LabelSet.from_records(about["labels"])
            kept = {name: about[name] for name in ("formulation", "kind", "settings")}
            _check_types(**kept)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            damaged(path, error)
        return cls(path, labels=labels, **kept, versions=about.get("versions", {}))


def _check_types(formulation: object, kind: object, settings: object) -> None:
    if not isinstance(formulation, str) or kind not in _KINDS or not isinstance(settings, Mapping):
        raise TypeError(f"formulation {formulation!r:.40}, kind {kind!r:.40}, settings {settings!r:.40} in {ABOUT}")


def damaged(path: Path, error: Exception) -> NoReturn:
    """Raise a :class:`DataFormatError` for a model folder that cannot be read, with the reason in one line."""
    reason = " ".join(f"{type(error).__name__ if isinstance(error, KeyError) else ''} {error}".split())[:300]
    raise DataFormatError(
        f"{path}: damaged model folder ({reason}). Expected what training wrote. Copy the whole folder again."
    ) from None


def write_weights(folder: Path, module: nn.Module) -> None:
    """Write all parameters and persistent buffers of a module on any device.

    Raises:
        OSError: such as a full disk.
    """
    state = module.state_dict()
    tensors = {name: state[name].detach().cpu().contiguous() for name in set(_stored_names(module).values())}
    path = folder / WEIGHTS
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:
        if number := re.search(r"os error (\d+)", str(error)):
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
        raise


def read_weights(folder: Path, module: nn.Module) -> None:
    """Load what :func:`write_weights` wrote into a module of the same shape.

    Raises:
        ValueError: the file has other tensors than the module.
        SafetensorError: the file is damaged.
    """
    first = _stored_names(module)
    # What was a stored buffer may have become one that is computed.
    computed = {name for name, _ in module.named_buffers()} - first.keys()
    stored = {name: value for name, value in load_file(folder / WEIGHTS).items() if name not in computed}
    if set(stored) != set(first.values()):
        odd = sorted(set(stored) ^ set(first.values()))
        raise ValueError(f"{WEIGHTS} and the configuration differ in {len(odd)} tensors, {odd[0]} for one")
    module.load_state_dict({name: stored[stored_name] for name, stored_name in first.items()})


def _stored_names(module: nn.Module) -> dict[str, str]:
    """Every name in the state of a module -> the name under which its tensor is stored: shared ones have one."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in module.state_dict(keep_vars=True).items()}
