"""Model folders on the Hugging Face hub: which of their files are read, and how a name becomes a folder.

Only data files are downloaded: no pickles, no code.
"""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from pathlib import Path

from genner.errors import DataFormatError, MissingBackendError

__all__ = ["HUB_PREFIX", "MODEL_FILES", "hub_reason", "is_hub_id", "resolve_model"]

#: Prefix of a name on the hub that might also be a folder here.
HUB_PREFIX = "hub:"
# As in `genner.model.folder`, whose import loads torch.
ABOUT, WEIGHTS = "model.json", "model.safetensors"
#: All files of a model folder; others in it are neither shared nor downloaded.
MODEL_FILES = (
    WEIGHTS, ABOUT, "recipe.yaml", "calibration.json", "config.json", "generation_config.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "vocab.txt", "merges.txt", "spiece.model", "sentencepiece.bpe.model",
)  # fmt: skip
_N_SHOWN = 3
_HUB_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)


def is_hub_id(name: str) -> bool:
    """Whether a name can be a model on the hub, ``user/name``, without a revision.

    >>> is_hub_id("ada/symptoms"), is_hub_id("./symptoms"), is_hub_id("runs/demo/best")
    (True, False, False)
    """
    return bool(_HUB_ID.fullmatch(name)) and not re.search(r"(^|/)[.-]|[.-](/|$)|\.\.|--", name)


def resolve_model(model: str | Path) -> Path:
    """The folder of a model: the given one, or that of a model on the hub, which is downloaded once and cached.

    Args:
        model: a model folder, or a run folder, which stands for its ``best``; or ``user/name`` or
            ``user/name@revision`` on the hub, with :data:`HUB_PREFIX` before it if there is a folder ``user`` here.
            With ``HF_HUB_OFFLINE=1``, or without a network, the cached files are used.

    Raises:
        DataFormatError: no such folder and not a name on the hub, a folder with several models below it, or the model
            on the hub is not one of this project's.
        MissingBackendError: the model cannot be downloaded.
    """
    if not str(model).strip():
        raise DataFormatError("the model has no name. Expected a folder, or user/name on the hub. Set it.")
    path = Path(model).expanduser()
    if path.is_dir():
        return _model_in(path)
    given = str(model)
    name, _, revision = given.removeprefix(HUB_PREFIX).partition("@")
    # A misspelt folder name must not be sent to the hub.
    may_be_path = isinstance(model, Path) or path.exists() or path.parent.is_dir()
    if not is_hub_id(name) or (may_be_path and not given.startswith(HUB_PREFIX)):
        raise DataFormatError(_not_found(given, path, name))
    return _fetch(given, name, revision or None)


def _model_in(folder: Path) -> Path:
    """A model folder, or the best model of a run folder.

    Raises:
        DataFormatError: the folder is neither, but some below it are models.
    """
    if (folder / ABOUT).is_file():
        return folder
    if (folder / "best" / ABOUT).is_file():
        return folder / "best"
    below = sorted(path.parent for pattern in ("*", "*/best", "*/*/best") for path in folder.glob(f"{pattern}/{ABOUT}"))
    if not below:
        return folder  # opening it says what is missing
    shown = ", ".join(map(str, below[:_N_SHOWN])) + (", ..." if len(below) > _N_SHOWN else "")
    raise DataFormatError(
        f"{folder}: not a model folder, but {len(below)} below it are: {shown}. Expected one of them. Name it, such as "
        f"{below[0]}."
    )


def _not_found(given: str, path: Path, name: str) -> str:
    """What to say of a name that is neither a folder nor on the hub."""
    expected = "Expected the folder 'best' of a finished run, or a model on the hub as user/name or user/name@revision"
    if path.exists():
        is_inside = any((path.parent / place / ABOUT).is_file() for place in (".", "best"))
        remedy = f"Name its folder: {path.parent}." if is_inside else "Name the folder of a model."
        return f"{given}: a file, not a model folder. {expected}. {remedy}"
    where = f", {HUB_PREFIX}{name} for one on the hub" if is_hub_id(name) else ""
    near: list[str] = []
    if path.parent.is_dir():
        names = [other.name for other in path.parent.iterdir() if other.is_dir()]
        near = get_close_matches(path.name, names, n=1, cutoff=0.75)
    hint = f" (did you mean {str(path.with_name(near[0]))!r}?)" if near else ""
    return f"{given}: no such model folder{hint}. {expected}{where}. Correct the name."


def hub_reason(error: Exception) -> str:
    """An error of the hub, or of the connection to it, in one line."""
    from huggingface_hub import errors

    reasons = {
        errors.GatedRepoError: "it requires consent first: open its page there",
        errors.RepositoryNotFoundError: "it has no model of that name, or not for this user",
        errors.RevisionNotFoundError: "it has no such revision of the model",
        errors.LocalTokenNotFoundError: "you are not logged in",
        errors.OfflineModeIsEnabled: "HF_HUB_OFFLINE is set",
    }
    for kind, what in reasons.items():
        if isinstance(error, kind):
            return what
    if isinstance(error, errors.LocalEntryNotFoundError):
        return "not in the cache, and the hub cannot be reached"
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200].rstrip(". ")


def _fetch(model: str, name: str, revision: str | None) -> Path:
    """Download a model; the weights come last, after the other files have shown that it is one."""
    # Late imports: these take longer than this package.
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError, HTTPError

    from genner.model.hub import hub_is_reachable

    options = {"local_files_only": not hub_is_reachable(), "library_name": "genner"}
    small = [file for file in MODEL_FILES if file != WEIGHTS]
    try:
        folder = Path(huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=small, **options))
        if not _is_ours(folder):
            raise DataFormatError(
                f"{model}: no such folder, and the model of that name on the hub is not one of this project's: it has "
                f"no {ABOUT} of ours. Expected a model uploaded with genner share. Check the name."
            )
        # The folder is named after the commit: this stays the same one, whatever is uploaded meanwhile.
        huggingface_hub.snapshot_download(name, revision=folder.name, allow_patterns=[*small, WEIGHTS], **options)
    except (HTTPError, OSError, HFValidationError) as error:
        raise MissingBackendError(
            f"{model}: no such folder on this machine, and no download from the hub ({hub_reason(error)}). Expected "
            "a model folder, or user/name on the hub. Check the name; for a private model, log in with 'hf auth login'."
        ) from None
    return folder


def _is_ours(folder: Path) -> bool:
    """Whether the folder has the description of a model of ours, in whatever format."""
    try:
        return "formulation" in json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False
