"""Shares a trained model: a copy of its folder with a model card, in another folder or on the Hugging Face hub.

A copy holds what a model needs and nothing else: safetensors, configuration, tokenizer, labels, recipe. Local paths are
removed. The copy is opened and used before it is shared.
"""

from __future__ import annotations

import filecmp
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from genner.errors import ConfigError, DataFormatError, MissingBackendError
from genner.files import replace_folder, write_text
from genner.prediction.hub import ABOUT, HUB_PREFIX, MODEL_FILES, WEIGHTS, hub_reason, is_hub_id

__all__ = ["Destination", "FoundModel", "destination_of", "find_model", "push", "write_copy"]

CARD = "README.md"
_LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "LICENCE.md", "NOTICE", "NOTICE.txt")
_KEPT = {*MODEL_FILES, *_LICENCES}
_NEEDED = (WEIGHTS, ABOUT)
_OF_A_COPY = {*_KEPT, CARD, ".gitattributes"}
_OTHER_WEIGHTS = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".msgpack", ".onnx", ".npz", ".joblib")

FillCopy = Callable[[Path], None]


@dataclass(frozen=True)
class FoundModel:
    """A model to share.

    Attributes:
        folder: the model folder, links followed.
        seed, run: ``result.json`` of its seed and of its run; None if there is none.
        left_out: files that will not be shared, each with the reason.
    """

    folder: Path
    seed: Mapping[str, Any] | None
    run: Mapping[str, Any] | None
    left_out: tuple[str, ...]


class Destination(NamedTuple):
    """Where a copy goes: one of the two."""

    folder: Path | None
    hub_id: str | None


def find_model(model: Path) -> FoundModel:
    """Inspect a model folder, and find the results of its training.

    Args:
        model: a model folder, such as ``best`` of a run or of a seed.

    Raises:
        DataFormatError: it has no safetensors weights, or its results cannot be read.
    """
    folder = model.resolve()
    leaving = [path for path in sorted(folder.iterdir()) if path.name in _KEPT and not _stays(path, folder)]
    others = sorted(path for path in folder.iterdir() if path.name not in {*_KEPT, CARD})
    for path in leaving:
        if path.name in _NEEDED:
            raise DataFormatError(
                f"{path}: a link to {path.resolve()}, outside the model folder. Expected a file: links are not "
                "followed, so that nothing else is shared. Copy the file in its place."
            )
    if not (folder / WEIGHTS).is_file():
        unsafe = [path.name for path in others if path.suffix in _OTHER_WEIGHTS]
        found = f"no {WEIGHTS}, only {', '.join(unsafe)}" if unsafe else f"no {WEIGHTS}"
        raise DataFormatError(
            f"{folder}: {found}. Expected a model folder as training writes it: weights in other formats can run code "
            "when they are loaded, and are not shared. Give the folder 'best' of a finished run."
        )
    left_out = [f"{path.name} ({_reason(path)})" for path in others]
    left_out += [f"{path.name} (a link out of the model folder)" for path in leaving]
    if (folder / CARD).exists():
        left_out.append(f"{CARD} (a new one is written)")
    seed_folder = _seed_of(folder)
    seed = _read_result(seed_folder / "result.json") if seed_folder is not None else None
    run = _read_result(seed_folder.parent / "result.json") if seed is not None else None
    return FoundModel(folder, seed, run, tuple(left_out))


def _stays(path: Path, folder: Path) -> bool:
    """Whether a file of a model folder lies in it; a cache of the hub has its files one place for all revisions."""
    is_cache = folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--")
    return path.resolve().is_relative_to(folder.parent.parent / "blobs" if is_cache and path.is_symlink() else folder)


def _seed_of(folder: Path) -> Path | None:
    """The seed whose model this is; a run's ``best`` is a copy of it where the system has no links."""
    if folder.parent.name.startswith("seed-"):
        return folder.parent
    seeds = [path.parents[1] for path in sorted(folder.parent.glob(f"seed-*/best/{WEIGHTS}"))]
    return next((seed for seed in seeds if filecmp.cmp(seed / "best" / WEIGHTS, folder / WEIGHTS, shallow=False)), None)


def destination_of(to: str, model: Path, *, overwrite: bool = False) -> Destination:
    """Interpret ``--to``: ``user/name`` or ``hub:user/name`` is a model on the hub, everything else a folder.

    Args:
        to: the value of the option.
        model: the folder to share.
        overwrite: an earlier copy may be replaced.

    Raises:
        ConfigError: it is ambiguous, or the folder holds something else.
    """
    hub_id = to.removeprefix(HUB_PREFIX)
    if to.startswith(HUB_PREFIX) and not is_hub_id(hub_id):
        raise ConfigError(f"--to: {to!r} is not a name on the hub. Expected hub:user/name. Correct it.")
    if to.startswith(HUB_PREFIX):
        return Destination(None, hub_id)
    path = Path(to).expanduser()
    if is_hub_id(to):
        if path.exists() or path.parent.is_dir():
            raise ConfigError(
                f"--to: {to!r} could be a model on the hub, or a folder in {str(path.parent)!r} here. Expected one of "
                f"them. Write hub:{to} for the hub or ./{to} for the folder."
            )
        return Destination(None, to)
    _check_target(path, model, overwrite)
    return Destination(path, None)


def write_copy(found: FoundModel, target: Path, finish: FillCopy) -> None:
    """Write a copy that appears as a whole or not at all.

    Args:
        found: what to copy.
        target: a folder that does not exist, or that may be replaced.
        finish: called with the folder of the copy before it gets its name; writes the card.
    """
    try:
        replace_folder(target.absolute(), lambda folder: (_copy(found.folder, folder), finish(folder)))
    except OSError as error:
        raise ConfigError(
            f"{target}: cannot be written: {error.strerror or error}. Expected a writable folder. Choose another."
        ) from None


def push(found: FoundModel, hub_id: str, finish: FillCopy, *, message: str, private: bool) -> str:
    """Upload a copy to the hub, as one commit; the repository is created if it does not exist.

    Args:
        found: what to copy.
        hub_id: ``user/name``.
        finish: see :func:`write_copy`.
        message: of the commit.
        private: create a new repository as private; an existing one stays as it is.

    Returns:
        The address of the commit.

    Raises:
        MissingBackendError: you are not logged in, or the hub refuses the upload.
    """
    import huggingface_hub  # late: it takes long to import
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    if huggingface_hub.get_token() is None:
        raise _refused(hub_id, "you are not logged in", "Log in with 'hf auth login', or set HF_TOKEN.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _copy(found.folder, folder)
        finish(folder)
        hub = huggingface_hub.HfApi(library_name="genner")
        try:
            hub.create_repo(hub_id, private=private or None, exist_ok=True)
            commit = hub.upload_folder(repo_id=hub_id, folder_path=folder, commit_message=message)
        except HfHubHTTPError as error:
            advice = "Check that the token may write to that name, and the state of the hub at https://status.huggingface.co."
            raise _refused(hub_id, hub_reason(error), advice) from None
        except (HTTPError, OSError, ValueError) as error:
            raise _refused(hub_id, hub_reason(error), "Check the network and HF_ENDPOINT, and try again.") from None
    return str(commit.commit_url)


def _refused(hub_id: str, reason: str, advice: str) -> MissingBackendError:
    return MissingBackendError(f"{hub_id}: not uploaded to the hub: {reason}. Expected a hub that accepts it. {advice}")


def _reason(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return "weights that can run code when they are loaded" if path.suffix in _OTHER_WEIGHTS else "not part of a model"


def _read_result(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(result, dict):
            raise ValueError(f"a {type(result).__name__}")
    except (OSError, ValueError) as error:
        raise DataFormatError(
            f"{path}: cannot be read ({error}). Expected the result of a training. Repeat its command, or move the "
            "model folder away from it."
        ) from None
    return result


def _check_target(path: Path, model: Path, overwrite: bool) -> None:
    target = path.resolve()
    if target == model or model in target.parents or target in model.parents:
        raise ConfigError(f"--to: {path} is, holds or lies in the model itself. Expected another folder. Change it.")
    if not path.exists():
        return
    if not path.is_dir():
        raise ConfigError(f"--to: {path} is a file. Expected a new folder. Change it.")
    held = {item.name for item in path.iterdir()}
    if foreign := sorted(held - _OF_A_COPY):
        raise ConfigError(
            f"--to: {path} holds {foreign[0]!r}, which is not part of a shared model. Expected a new or an empty "
            "folder. Choose another."
        )
    if held and not overwrite:
        raise ConfigError(f"--to: {path} is not empty. Expected a new or an empty folder. Add --overwrite.")


def _copy(source: Path, target: Path) -> None:
    for path in sorted(source.iterdir()):
        if path.name in _KEPT and path.is_file() and _stays(path, source):
            shutil.copyfile(path, target / path.name)
    _without_paths(target)


def _without_paths(folder: Path) -> None:
    """Remove local paths, none of which is needed to use the model.

    Raises:
        DataFormatError: a file that may hold one cannot be read.
    """
    try:
        _remove_paths(folder)
    except (ValueError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataFormatError(
            f"{folder}: a file cannot be read ({reason}). Expected recipe.yaml, config.json and tokenizer_config.json "
            "as training wrote them. Copy the model folder again."
        ) from error


def _remove_paths(folder: Path) -> None:
    recipe_path = folder / "recipe.yaml"
    if recipe_path.is_file():
        recipe = yaml.safe_load(recipe_path.read_text(encoding="utf-8"))
        backbone, data = recipe.get("backbone"), recipe.get("data") or {}
        if data.get("root") or _is_path(backbone):
            if data.get("root"):
                data["root"] = None
            if _is_path(backbone):
                recipe["backbone"] = Path(backbone).name
            write_text(recipe_path, yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True))
    for name in ("config.json", "tokenizer_config.json"):
        path = folder / name
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        paths = [key for key in ("_name_or_path", "name_or_path") if _is_path(content.get(key))]
        if paths:
            kept = {key: value for key, value in content.items() if key not in paths}
            write_text(path, json.dumps(kept, indent=2, ensure_ascii=False) + "\n")


def _is_path(value: object) -> bool:
    """Whether a name is a path on this machine, not a hub id or one of our own sizes."""
    if not isinstance(value, str) or ":" in value[2:]:
        return False
    return value.startswith(("/", ".", "~")) or "\\" in value or value.count("/") > 1 or Path(value).exists()
