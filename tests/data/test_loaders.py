"""Every loader reads its committed fixture, and every broken twin of it gives its own message."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genner.data.loaders import LOADERS, LoaderOptions
from genner.data.schema import Entity, Segment
from genner.errors import DataFormatError

FILES = {
    "conll": "conll.txt",
    "ontonotes": "ontonotes.txt",
    "nested": "nested.jsonlines",
    "discontinuous": "discontinuous.txt",
    "json": "json.jsonl",
}
SHAPES = {
    "conll": (3, ["PER", "ORG", "LOC", "LOC"]),
    "ontonotes": (3, ["PERSON", "GPE", "CARDINAL"]),
    "nested": (3, ["ORG", "LOC", "DNA", "protein", "DNA"]),
    "discontinuous": (3, ["ADR", "ADR", "Time", "ADR"]),
    "json": (3, ["LOC", "PER", "LOC"]),
}


def flat(examples):
    return [[(entity.label, *entity.flat) for entity in example.entities] for example in examples]


@pytest.fixture
def text_of(fixtures_dir):
    return lambda loader: (fixtures_dir / "loaders" / FILES[loader]).read_text(encoding="utf-8")


@pytest.fixture
def load_text(tmp_path):
    """Load a text (or bytes) with a loader; errors name ``broken``."""

    def load(loader, text, **options):
        path = tmp_path / "broken"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        return LOADERS[loader](path, LoaderOptions(**options))

    return load


@pytest.mark.parametrize("loader", LOADERS)
def test_fixture(loader, text_of, load_text):
    examples, report = load_text(loader, text_of(loader))
    n_sentences, labels = SHAPES[loader]
    assert len(examples) == n_sentences
    assert sorted(e.label for x in examples for e in x.entities) == sorted(labels)
    assert not report.counts and report.lines() == []


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n\n \n",
        lambda text: text.replace("Rain", "Ra\u2028i\x85n\u00a0"),
    ],
    ids=["crlf", "crcrlf", "bom", "no-final-newline", "blank-lines", "odd-white-space"],
)
def test_harmless_changes(loader, change, text_of, load_text):
    plain, _ = load_text(loader, text_of(loader))
    changed, report = load_text(loader, change(text_of(loader)))
    assert flat(changed) == flat(plain)
    assert [len(x.words) for x in changed] == [len(x.words) for x in plain]
    assert not report.counts


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw + b"M\xfcnchen O\n", r"broken:\d+: byte 0xfc at offset \d+ is not UTF-8"),
        (lambda raw: raw.decode().encode("utf-16"), "broken:1: byte 0xff at offset 0 .*UTF-16"),
        (lambda raw: raw.decode().encode("utf-16-le"), "broken:1: a NUL character"),
        (lambda raw: b"\x1f\x8b" + raw, "broken:1: byte 0x8b at offset 1 .*compressed"),
        (lambda raw: raw.replace(b"\n", b"\r"), "broken:1: a carriage return inside a line"),
        (lambda raw: raw + b"\xed\xa0\xbd O\n", "byte 0xed .* not UTF-8"),
    ],
    ids=["latin1", "utf-16", "utf-16-no-mark", "gzip", "old-mac", "surrogate"],
)
def test_files_that_are_not_utf8_text(loader, change, message, text_of, load_text):
    raw = change(text_of(loader).encode())
    if "carriage" in message and loader in ("nested", "json"):  # white space to JSON
        assert flat(load_text(loader, raw)[0]) == flat(load_text(loader, text_of(loader))[0])
        return
    with pytest.raises(DataFormatError, match=message):
        load_text(loader, raw)


def test_offset_counts_the_byte_order_mark(load_text):
    with pytest.raises(DataFormatError, match="broken:1: byte 0xfc at offset 4 "):
        load_text("conll", b"\xef\xbb\xbfM\xfcnchen O\n")


@pytest.mark.parametrize("loader", LOADERS)
def test_absent_file_and_folder(loader, tmp_path):
    with pytest.raises(DataFormatError, match=r"absent.txt: cannot be read .No such file"):
        LOADERS[loader](tmp_path / "absent.txt", LoaderOptions())
    with pytest.raises(DataFormatError, match=r"cannot be read .Is a directory"):
        LOADERS[loader](tmp_path, LoaderOptions())


@pytest.mark.parametrize(
    ("loader", "given", "message"),
    [
        ("conll", "nested", "looks like one JSON object per line. Expected columns .* Give --kind nested."),
        ("conll", "discontinuous", "looks like three lines per sentence"),
        ("ontonotes", "nested", "looks like one JSON object per line"),
        ("nested", "conll", "not JSON|looks like columns"),
        ("nested", "discontinuous", "looks like three lines per sentence"),
        ("discontinuous", "nested", "looks like one JSON object per line"),
        ("discontinuous", "conll", "third line of a record"),
        ("discontinuous", "ontonotes", "looks like the CoNLL-2012 layout"),
        ("conll", "ontonotes", "looks like the CoNLL-2012 layout"),
    ],
)
def test_another_kind_of_file(loader, given, message, text_of, load_text):
    with pytest.raises(DataFormatError, match=message):
        load_text(loader, text_of(given))


def test_columns_without_docstart_are_recognised(load_text):
    for loader in ("nested", "discontinuous"):
        with pytest.raises(DataFormatError, match="looks like columns with a BIO tag"):
            load_text(loader, "Mira B-PER\nleft O\n\n")


def test_report_names_places_and_stops_at_five(load_text):
    _, report = load_text("conll", "a O\n" + "b I-X\n\n" * 7 + "c B-X\n\n" * 8)
    (line,) = report.lines()
    assert line.startswith("broken: 7 x I-X with neither B-X nor I-X before it")
    assert line.endswith("(broken:2, broken:4, broken:6, broken:8, broken:10, ...)")


@pytest.mark.parametrize("loader", LOADERS)
@given(seed=st.integers(0, 2**32))
def test_damaged_files_load_or_give_our_error(loader, seed, fixtures_dir, tmp_path_factory):
    """Whatever happens to a file: words stay whole, offsets stay inside, and nothing but our own error comes out."""
    rng = random.Random(seed)
    raw = bytearray((fixtures_dir / "loaders" / FILES[loader]).read_bytes())
    insertions = (b"", b"\n", b" ", b"\t", b"|", b",", b"9", b'"', b"]", b"B-")
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(raw))
        raw[at : at + rng.choice((0, 1, 1, 5, 30))] = rng.choice(insertions)
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(raw)
    try:
        examples, _ = LOADERS[loader](path, LoaderOptions(compat=rng.random() < 0.3))
    except DataFormatError as error:
        assert str(error).startswith(f"{path}:")
        return
    for example in examples:
        assert example.words
        assert all(0 <= start < end <= len(example.words) for e in example.entities for start, end in e.segments)


def test_entities_are_shared_schema(text_of, load_text):
    examples, _ = load_text("discontinuous", text_of("discontinuous"))
    assert examples[0].entities[0] == Entity("ADR", (Segment(0, 1), Segment(3, 5)))
    assert examples[0].entities[1] == Entity("ADR", (Segment(0, 2), Segment(4, 5)))
    assert examples[0].entities[1].surface(examples[0].words) == ["sore", "left", "knees"]
