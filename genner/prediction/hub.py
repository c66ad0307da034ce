"""Model folders on the Hugging Face hub: which of their files are read, and how a name becomes a folder.

Only data files are downloaded: no pickles, no code.
"""

from __future__ import annotations

import json
import re
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
        DataFormatError: no such folder and not a name on the hub, or the model there is not one of this project's.
        MissingBackendError: the model cannot be downloaded.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        best = path / "best"  # of a run folder
        return best if not (path / ABOUT).is_file() and (best / ABOUT).is_file() else path
    given = str(model)
    name, _, revision = given.removeprefix(HUB_PREFIX).partition("@")
    # A misspelt folder name must not be sent to the hub.
    may_be_path = isinstance(model, Path) or path.exists() or path.parent.is_dir()
    if not is_hub_id(name) or (may_be_path and not given.startswith(HUB_PREFIX)):
        found = "a file, not a model folder" if path.exists() else "no such model folder"
        where = f", {HUB_PREFIX}{name} for one on the hub" if is_hub_id(name) else ""
        raise DataFormatError(
            f"{given}: {found}. Expected the folder 'best' of a finished run, or a model on the hub as user/name or "
            f"user/name@revision{where}. Set the model."
        )
    return _fetch(given, name, revision or None)


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
