"""Bytes of text files -> text, with messages that say where a file is not UTF-8, what it seems to be and what helps."""

from __future__ import annotations

import codecs
import re
import shlex
from pathlib import Path
from typing import NamedTuple

from genner.errors import DataFormatError

__all__ = [
    "Guess", "decode", "guess_encoding", "is_writable", "packed_as", "read_raw", "without_edge_signs",
]  # fmt: skip

_BOM = codecs.BOM_UTF8
_SAMPLE = 1 << 16  # bytes that a guess is based on

# First bytes -> what such a file is, and the command that makes text of it (None: the user must export it).
_PACKED: dict[bytes, tuple[str, str | None]] = {
    b"\x1f\x8b": ("compressed with gzip", "gzip -dc"),
    b"BZh": ("compressed with bzip2", "bzip2 -dc"),
    b"\xfd7zXZ": ("compressed with xz", "xz -dc"),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "zstd -dc"),
    b"PK\x03\x04": ("a zip archive, or a document of an office program", None),
    b"7z\xbc\xaf": ("a 7z archive", None),
    b"%PDF": ("a PDF document", None),
    b"{\\rtf": ("an RTF document", None),
    b"\xd0\xcf\x11\xe0": ("a document of an office program", None),
}
_APPLE = b"\x00\x05\x16\x07"
# A mark of UTF-32 begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16",
}  # fmt: skip

# Encodings of other scripts -> what most of their characters beyond ASCII are. Capital letters are rare in text, which
# tells the two Russian ones apart: they have them in each other's places.
_OTHERS = {
    "SHIFT_JIS": "[\u3040-\u30ff]|[\u4e00-\u9fff](?=[\u3040-\u30ff])",
    "EUC-JP": "[\u3040-\u30ff]|[\u4e00-\u9fff](?=[\u3040-\u30ff])",
    "EUC-KR": "[\uac00-\ud7a3]",
    "GB2312": "[\u4e00-\u9fff]",
    "BIG5": "[\u4e00-\u9fff]",
    "GB18030": "[\u4e00-\u9fff]",
    "CP1251": "[\u0430-\u044f]",
    "KOI8-R": "[\u0430-\u044f]",
}

_ZERO_WIDTH = "\ufeff\u200b\u2060\u00ad\u200e\u200f"
_JOINERS = "\u200c\u200d"
#: Scripts from here on may use joiners at the edges of words, and emoji are made of them.
_FIRST_JOINED = "\u0590"


class Guess(NamedTuple):
    """What a file that is not UTF-8 seems to be.

    Attributes:
        what: a noun, such as ``UTF-16``.
        command: reads the file from standard input and writes its text; None if no command can.
        of_lines: single lines may be UTF-8 all the same.
        otherwise: what to do if there is no command.
    """

    what: str
    command: str | None
    of_lines: bool = False
    otherwise: str = "Unpack it, or export its text, as UTF-8."

    def advice(self, where: str) -> str:
        """The last sentence of a message about the file ``where``."""
        if self.command is None:
            return self.otherwise
        if where == "standard input":
            return f"Send it through: {self.command}"
        path = Path(where)
        if path.suffix in (".gz", ".bz2", ".xz", ".zst"):
            return f"Run: {self.command} < {shlex.quote(where)} > {shlex.quote(str(path.with_suffix('')))}"
        old, new = shlex.quote(where), shlex.quote(f"{where}.new")
        return f"Run: {self.command} < {old} > {new} && mv {new} {old}"


def read_raw(path: Path) -> str:
    """The text of a UTF-8 file without its byte order mark, with its line ends as they are, since offsets count them.

    Raises:
        DataFormatError: the file cannot be opened or is not UTF-8 text.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataFormatError(
            f"{path}: cannot be read ({error.strerror}). Expected a text file. Check its name and its permissions."
        ) from None
    return decode(raw, str(path))


def decode(raw: bytes, where: str) -> str:
    """The text of a file's bytes; ``where`` names the file in messages.

    Raises:
        DataFormatError: it is not UTF-8, or holds NUL characters, as UTF-16 does.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        offset = error.start + (len(_BOM) if raw.startswith(_BOM) else 0)  # the decoder counts from behind the mark
        line = raw.count(b"\n", 0, offset) + 1
        guess = guess_encoding(raw, offset)
        raise DataFormatError(
            f"{where}:{line}: byte 0x{raw[offset]:02x} at offset {offset} is not UTF-8; the file seems to be "
            f"{guess.what}. Expected UTF-8. {guess.advice(where)}"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        guess = guess_encoding(raw, raw.index(0))
        raise DataFormatError(
            f"{where}:{line}: a NUL character; the file seems to be {guess.what}. Expected UTF-8 text. "
            f"{guess.advice(where)}"
        )
    return text


def packed_as(start: bytes) -> str | None:
    """What a file of an archive, a compressor or an office program is, by its first bytes; None for others.

    >>> packed_as(b"%PDF-1.7"), packed_as(b"Sore knees")
    ('a PDF document', None)
    """
    return next((what for mark, (what, _) in _PACKED.items() if start.startswith(mark)), None)


def guess_encoding(raw: bytes, offset: int = 0) -> Guess:
    """What bytes that are not UTF-8 text seem to be.

    Args:
        raw: from the start of the file; the first ones may do.
        offset: of the first byte that is wrong.
    """
    for mark, (what, command) in _PACKED.items():
        if raw.startswith(mark):
            return Guess(what, command)
    if raw.startswith(_APPLE):
        return Guess("what macOS stores beside a file (AppleDouble)", None, otherwise="Remove the file.")
    for mark, name in _MARKS.items():
        if raw.startswith(mark):
            return Guess(name, f"iconv -f {name} -t UTF-8")
    around = raw[max(0, offset - _SAMPLE) : offset + _SAMPLE]
    if b"\0" in around:
        return _with_nul(raw[:_SAMPLE], around)
    text = around.decode("utf-8", "replace")
    # A character that is cut at the edge of the sample is no damage, but counts as one.
    if sum(char > "\x7f" for char in text) - text.count("\ufffd") > 2 * text.count("\ufffd"):
        return Guess("UTF-8 with damaged characters", None, True, "Correct the line.")
    # The accented letters of Western languages stand alone, those of other scripts side by side.
    n_alone = len(re.findall(rb"(?<![\x80-\xff])[\x80-\xff](?![\x80-\xff])", around))
    others = _OTHERS if n_alone < len(re.findall(rb"[\x80-\xff]", around)) / 2 else {}
    name = next((name for name, letters in others.items() if _is_mostly(around, name, letters)), None)
    if name is None:
        name = "CP1252" if re.search(rb"[\x80-\x9f]", around) else "ISO-8859-1"
    return Guess(name, f"iconv -f {name} -t UTF-8", of_lines=True)


def _with_nul(start: bytes, around: bytes) -> Guess:
    """Bytes with NUL: UTF-16 or UTF-32 without a mark, of text with ASCII letters; a slip in a text; or no text."""
    shares = [start[place::4].count(0) / max(len(start[place::4]), 1) for place in range(4)]
    for name, zeros in {"UTF-32LE": "0111", "UTF-32BE": "1110", "UTF-16LE": "0101", "UTF-16BE": "1010"}.items():
        if all((share > 0.4) == (zero == "1") for share, zero in zip(shares, zeros, strict=True)):
            return Guess(f"{name} without a mark", f"iconv -f {name} -t UTF-8")
    if around.count(0) > len(around) / 50 + 1:
        return Guess("binary", None, otherwise="Replace it by a text file, or remove it.")
    return Guess("text with NUL characters", "tr '\\000' ' '", of_lines=True)


def _is_mostly(sample: bytes, encoding: str, letters: str) -> bool:
    """Whether most characters beyond ASCII are such letters, if the bytes are in an encoding."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)  # the sample may end inside a character
    except UnicodeDecodeError:
        return False
    beyond = [char for char in text if char > "\x7f"]
    return len(beyond) > 0 and len(re.findall(letters, text)) > 0.6 * len(beyond)


def is_writable(text: str) -> bool:
    """Whether UTF-8 can represent the text: it cannot represent lone surrogates."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def without_edge_signs(word: str) -> str:
    """A word without the signs of no width at its edges: byte order marks, zero-width spaces, soft hyphens and so on.

    Joiners stay where they may shape a letter or an emoji. A word of such signs alone becomes ``_``.

    >>> without_edge_signs("\\ufeffTellmark\\u200b"), without_edge_signs("\\u200b"), without_edge_signs("می\\u200c")
    ('Tellmark', '_', 'می\\u200c')
    """
    if word.isascii():
        return word
    stripped = word.strip(_ZERO_WIDTH + _JOINERS)
    if not stripped:
        return "_" if word else word
    head, tail = word.split(stripped, 1)[0], word.rsplit(stripped, 1)[1]
    head, tail = ("".join(sign for sign in edge if sign in _JOINERS) for edge in (head, tail))
    return head * (stripped[0] >= _FIRST_JOINED) + stripped + tail * (stripped[-1] >= _FIRST_JOINED)
