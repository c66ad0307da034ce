"""Files that go into the page and come out of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypedDict

from genner.errors import DataFormatError
from genner.prediction.pictures import render
from genner.prediction.results import TextResult

__all__ = ["MediaFile", "decode_upload", "file_of"]


class MediaFile(TypedDict):
    """A file for the browser to save."""

    name: str
    type: str
    content: str


def file_of(kind: str, result: TextResult, labels: Sequence[str]) -> MediaFile:
    """The result as a file: ``jsonl`` or ``html``."""
    if kind == "html":
        content, media = render(result, labels=labels, page=True), "text/html"
    else:
        content, media = json.dumps(result.record(), ensure_ascii=False) + "\n", "application/jsonl"
    return {"name": f"entities.{kind}", "type": f"{media};charset=utf-8", "content": content}


def decode_upload(content: bytes) -> str:
    """The text of a file.

    Raises:
        DataFormatError: it is no text in UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataFormatError(
            f"The file is not UTF-8: {error.reason} at byte {error.start:,}. Expected a text file in UTF-8. Save it as "
            "UTF-8, or paste the text."
        ) from None
    if "\0" in text:
        raise DataFormatError("The file holds NUL characters. Expected a text file; this looks like UTF-16 or binary.")
    return text
