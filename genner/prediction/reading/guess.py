"""What a file without a telling ending is, by its name and its first bytes: JSON, lines of text, or neither."""

from __future__ import annotations

import json
import re
from pathlib import Path

from genner.data.utf8 import packed_as
from genner.errors import DataFormatError

__all__ = ["check_plain", "seems_json", "unreadable"]

_PACKED = {".gz": "gzip -dc", ".bz2": "bzip2 -dc", ".xz": "xz -dc", ".zst": "zstd -dc"}
_NO_TEXT = {
    **dict.fromkeys((".xml", ".html", ".htm", ".xhtml", ".svg", ".tei", ".rss", ".tex", ".rtf"), "marked-up text"),
    **dict.fromkeys((".pdf", ".doc", ".docx", ".odt", ".xls", ".xlsx", ".ods", ".ppt", ".pptx", ".epub"), "a document"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".rar"), "an archive"),
    **dict.fromkeys((".parquet", ".arrow", ".feather", ".npz", ".npy", ".pkl", ".pickle", ".db", ".sqlite"), "data"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".tif", ".tiff", ".bmp", ".webp"), "an image"),
    **dict.fromkeys((".mp3", ".mp4", ".wav", ".ogg", ".flac"), "a recording"),
}
_MARKUP = re.compile(rb"\s*<(?:\?xml|!DOCTYPE|html|!--)", re.IGNORECASE)
_JSON = re.compile(rb"\s*(?:\{\s*(?:\"|$)|\[\s*(?:[\[{]|\"[^\n]*\",\s*[\[{]|$))")
_REMEDY = "Export its text, a document per line or per file; or set --format lines to read its lines as they are."


def unreadable(path: Path) -> str | None:
    """The error message for a file whose ending says that it is no plain text; None for others."""
    ending = path.suffix.lower()
    if ending in _PACKED:
        inner = path.with_suffix("").suffix or ".txt"
        name = {".json": "jsonl", ".jsonl": "jsonl", ".ndjson": "jsonl", ".conll": "conll", ".csv": "csv"}.get(inner)
        choice = f" --format {name}" if name else ""
        return (
            f"{path}: a compressed file. Expected text. Unpack it first, or send it through a pipe: {_PACKED[ending]} "
            f"{path} | genner predict MODEL --input -{choice}"
        )
    if ending in _NO_TEXT:
        return f"{path}: {_NO_TEXT[ending]} ({ending}), no plain text. Expected text, JSON or columns. {_REMEDY}"
    return None


def check_plain(start: bytes, name: str) -> None:
    """Refuse what is no plain text.

    Args:
        start: first bytes of a file or stream.
        name: of it, for the message.

    Raises:
        DataFormatError: they are those of a document, an archive, XML or HTML.
    """
    found = packed_as(start) or ("XML or HTML" if _MARKUP.match(start.removeprefix(b"\xef\xbb\xbf")) else None)
    if found is not None:
        raise DataFormatError(f"{name}: {found}, no plain text. Expected text, JSON or columns. {_REMEDY}")


def seems_json(start: bytes) -> bool:
    """Whether a file begins with a JSON object, or with a list of them.

    >>> [seems_json(start) for start in (b'{"text": "a"}', b'[{"a": 1}]', b"[1] Lee 2020.", b"{sic} a line")]
    [True, True, False, False]
    """
    start = start.removeprefix(b"\xef\xbb\xbf")
    if _JSON.match(start) is None:
        return False
    line = start.lstrip().split(b"\n", 1)[0]
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return line.strip() in (b"{", b"[", b"[{", b"[[") or len(line) > 1000  # such a line is cut off
    return isinstance(value, dict | list)
