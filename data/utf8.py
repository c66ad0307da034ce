"""Bytes of text files -> text, with messages that say where a file is not UTF-8 and what it seems to be."""

from __future__ import annotations

from pathlib import Path

from genner.errors import DataFormatError

__all__ = ["decode", "guess_encoding", "is_writable", "read_raw"]

_BOM = b"\xef\xbb\xbf"


def read_raw(path: Path) -> str:
    """The text of a UTF-8 file without its byte order mark, with its line ends as they are, since offsets count them.

    Raises:
        DataFormatError: the file cannot be opened or is not UTF-8.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataFormatError(f"{path}: cannot be read ({error.strerror}). Expected a text file.") from None
    return decode(raw, str(path))


def decode(raw: bytes, where: str) -> str:
    """The text of a file's bytes; ``where`` names the file in messages.

    Raises:
        DataFormatError: it is not UTF-8.
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        offset = error.start + (len(_BOM) if raw.startswith(_BOM) else 0)  # the decoder counts from behind the mark
        line = raw.count(b"\n", 0, offset) + 1
        raise DataFormatError(
            f"{where}:{line}: byte 0x{raw[offset]:02x} at offset {offset} is not UTF-8{guess_encoding(raw)}. "
            "Expected UTF-8. Convert the file, e.g. with iconv -f latin1 -t utf-8."
        ) from None


def guess_encoding(raw: bytes) -> str:
    """What a file that is not UTF-8 seems to be by its first bytes, in brackets; empty if they do not tell."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return " (the file starts with a UTF-16 mark)"
    if raw.startswith((b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ")):
        return " (the file is compressed)"
    return ""


def is_writable(text: str) -> bool:
    """Whether UTF-8 can represent the text: it cannot represent lone surrogates."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)
