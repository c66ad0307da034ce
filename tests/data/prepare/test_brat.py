"""CADEC and folders of brat files: fragments, other lines, line ends, splits, broken lines."""

import pytest

TEXT = "My knees and my left hip hurt badly.\nI took Mossil and felt sick\n"


def spans(*surfaces):
    """``start end;start end`` of parts that follow each other in the text."""
    at, found = 0, []
    for surface in surfaces:
        at = TEXT.index(surface, at)
        found.append(f"{at} {at + len(surface)}")
        at += len(surface)
    return ";".join(found)


ANN = (
    f"T1\tADR {spans('knees', 'hurt badly')}\tknees hurt badly\n"
    f"T2\tADR {spans('left hip hurt badly')}\tleft hip hurt badly\n"
    f"#1\tAnnotatorNotes T2\tsure\n"
    f"T3\tDrug {spans('Mossil')}\tMossil\n"
    f"T4\tADR {spans('felt sic')}\tfelt sic\n"
    f"T5\tADR {spans('badly.', 'I')}\tbadly. I\n"
)
ADR = [("ADR", "left hip hurt badly"), ("ADR", "knees hurt badly")]


def cadec(**changes):
    files = {}
    for number in range(10):
        files[f"cadec/text/MOSSIL.{number}.txt"] = TEXT
        files[f"cadec/original/MOSSIL.{number}.ann"] = ANN
        files[f"cadec/sct/MOSSIL.{number}.ann"] = "TT1\t1 | x | 3 8\tknees\n"
    return files | changes


def test_cadec(write, prepare):
    made = prepare("CADEC", write(cadec()))
    assert made.code == 0, made.err
    rows = made.entities("train")
    assert sorted(rows[0]) == sorted(ADR) and rows[1] == [("ADR", "felt sick")]
    assert [len(made.examples(split)) for split in ("train", "dev", "test")] == [14, 2, 4]
    for line in (
        "10 x annotation of type Drug, left out (MOSSIL.",
        "10 x note, no entity, left out (MOSSIL.",
        "10 x annotation that starts or ends inside a word, widened to the word (MOSSIL.",
        "10 x annotation that crosses a sentence boundary, dropped (MOSSIL.",
        "10 x document assigned to a split by our own 70/15/15 shares (no --splits): not a published split (raw)",
    ):
        assert line in made.out
    assert [entity.flat for entity in made.examples("test")[0].entities] == [[1, 2, 6, 8], [4, 8]]
    assert "most segments 2" in made.out
    assert "CADEC: counts differ from the published copy: entities train 21, dev 3, test 6, published" in made.out


def test_cadec_with_lists_labels_and_joined_sentences(write, prepare):
    lists = "".join(f"train MOSSIL.{n}\n" for n in range(8)) + "dev MOSSIL.8.txt\ntest MOSSIL.9\n"
    raw = write(cadec(**{"lists.txt": lists}))
    made = prepare("CADEC", raw, "--splits", raw / "lists.txt", "--labels", "all", "--across", "join")
    assert [len(made.examples(split)) for split in ("train", "dev", "test")] == [8, 1, 1]
    assert [label for label, _ in made.entities("test")[0]].count("Drug") == 1
    assert ("ADR", "badly . I") in made.entities("test")[0]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_offsets_count_a_line_end_as_one_or_two(newline, write, prepare):
    """brat counts CRLF as two characters, an export from Windows as one: the annotations tell which."""
    text = TEXT.replace("\n", "\r\n")
    start = text.replace("\r\n", newline).index("Mossil")
    ann = f"T1\tDrug {start} {start + 6}\tMossil\n"
    made = prepare("brat", write(brat(ann, **{f"{split}/a.txt": text for split in ("train", "dev", "test")})))
    assert made.entities("train") == [[("Drug", "Mossil")]]
    assert "counted while preparing:\n  nothing" in made.out


def brat(ann=ANN, **changes):
    files = {f"{split}/a.txt": TEXT for split in ("train", "dev", "test")}
    return files | {f"{split}/a.ann": ann for split in ("train", "dev", "test")} | changes


def test_brat(write, prepare):
    ann = ANN + "R1\tCause Arg1:T3 Arg2:T1\nT6\tADR 3 8;3 8\tknees\nT7\tADR 500 505\tno\nT8\tADR 8 8\t\n"
    made = prepare("brat", write(brat(ann, **{"train/b.txt": "Nothing here.\n"})), "--labels", "ADR", "Drug")
    assert made.code == 0, made.err
    assert made.entities("dev")[0][0] == ("ADR", "knees")
    for line in (
        "3 x relation, event or attribute, no entity, left out (a.ann:7)",
        "3 x annotation with overlapping fragments, merged (a.ann:8)",
        "3 x annotation that ends after its text, dropped (a.ann:9)",
        "3 x annotation with a fragment that ends before it starts, dropped (a.ann:10)",
        "1 x text without an annotation file, read as having no entities (b.txt)",
    ):
        assert line in made.out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train/a.ann": "T1 ADR 3 8 knees\n"}, "a.ann:1: 'T1 ADR 3 8 knees'. Expected 'T1<tab>LABEL start end"),
        ({"train/a.txt": b"caf\xe9"}, "a.txt:1: byte 0xe9 at offset 3 is not UTF-8. Expected UTF-8"),
        ({"dev/a.txt": None}, "no document for dev (train 1, dev 0, test 1)"),
        ({f"{split}/a.ann": None for split in ("train", "dev", "test")}, "3 texts and 0 annotations. Expected .txt"),
    ],
)
def test_broken_brat(changes, message, write, prepare):
    made = prepare("brat", write({name: text for name, text in brat(**changes).items() if text is not None}))
    assert made.code == 2 and message in made.err


def test_cadec_without_its_folders(write, prepare):
    assert "0 folders called 'original'. Expected CADEC v2" in prepare("CADEC", write({"text/a.txt": TEXT})).err
