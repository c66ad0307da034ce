"""Files that are not UTF-8: what the message says they are, and that its command helps; invisible signs."""

import bz2
import gzip
import lzma
import shutil
import subprocess

import pytest

from genner.data.utf8 import decode, read_raw, without_edge_signs
from genner.errors import DataFormatError

LATIN = "Zoë O\nMüller B-PER\nnaïve O\n"
RUSSIAN = "Мира O\nживёт O\nв O\nОстволе B-LOC\n"
CHINESE = "她 O\n去 O\n北山 B-LOC\n了 O\n"
JAPANESE = "彼女 O\nは O\n北山 B-LOC\nに O\n行きました O\n"


def message_of(path):
    with pytest.raises(DataFormatError) as error:
        read_raw(path)
    return str(error.value)


def follow(message):
    """Run what the message says."""
    command = message.split("Run: ")[1]
    if shutil.which(command.split()[0]) is None:
        pytest.skip(f"no {command.split()[0]} here")
    subprocess.run(command, shell=True, check=True)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("ISO-8859-1", LATIN),
        ("CP1252", LATIN + "“Oh” O\n"),
        ("UTF-16", LATIN),
        ("UTF-16LE", "Mira B-PER\nwaits O\n"),
        ("UTF-16BE", "Mira B-PER\nwaits O\n"),
        ("UTF-32", LATIN),
        ("UTF-32LE", "Mira B-PER\nwaits O\n"),
        ("CP1251", RUSSIAN),
        ("KOI8-R", RUSSIAN),
        ("GB2312", CHINESE),
        ("SHIFT_JIS", JAPANESE),
        ("EUC-JP", JAPANESE),
        ("EUC-KR", "그녀는 O\n북산에 B-LOC\n갔다 O\n"),
    ],
)
def test_the_advice_names_the_encoding_and_works(encoding, text, tmp_path):
    path = tmp_path / "my train.txt"
    path.write_bytes(text.encode(encoding))
    message = message_of(path)
    assert message.startswith(f"{path}:1: ") and f"iconv -f {encoding} -t UTF-8 <" in message
    follow(message)
    assert read_raw(path) == text


@pytest.mark.parametrize(
    ("name", "compress"),
    [("a.txt", gzip.compress), ("a.txt.gz", gzip.compress), ("a", bz2.compress), ("a", lzma.compress)],
)
def test_the_advice_for_compressed_files_works(name, compress, tmp_path):
    (tmp_path / name).write_bytes(compress(LATIN.encode()))
    message = message_of(tmp_path / name)
    assert "seems to be compressed with" in message
    follow(message)
    assert read_raw(tmp_path / name.removesuffix(".gz")) == LATIN


def test_nul_characters_become_blanks_so_that_offsets_stay(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"some words\n" * 50 + b"a\0b\n")
    message = message_of(path)
    assert message.startswith(f"{path}:51: a NUL character; the file seems to be text with NUL characters")
    follow(message)
    assert read_raw(path).endswith("a b\n")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"%PDF-1.7\n\xe2\xe3", "a PDF document. Expected UTF-8. Unpack it, or export its text, as UTF-8."),
        (b"PK\x03\x04\x00\x00\xff", "a zip archive, or a document of an office program"),
        (b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        \xff", r"\(AppleDouble\). Expected UTF-8. Remove the file."),
        (
            "é O\nü O\nö B-X\n".encode() * 3 + b"\xe9 O\n",
            "a.txt:10: .*UTF-8 with damaged characters.* Correct the line.",
        ),
        (bytes(range(256)) * 20 + bytes(500), "binary. Expected UTF-8. Replace it by a text file, or remove it."),
    ],
)
def test_what_no_command_helps(raw, message):
    with pytest.raises(DataFormatError, match=message):
        decode(raw, "a.txt")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("\ufeffTellmark", "Tellmark"),
        ("\u200bTellmark\u2060\u200d", "Tellmark"),
        ("Tell\u200bmark", "Tell\u200bmark"),
        ("\u200b\ufeff", "_"),
        ("\u00ad", "_"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("می\u200c", "می\u200c"),  # the joiner gives the letter its shape
        ("\u200bक\u094d\u200d\ufeff", "क\u094d\u200d"),
        ("", ""),
    ],
)
def test_signs_of_no_width_at_the_edges(word, expected):
    assert without_edge_signs(word) == expected
