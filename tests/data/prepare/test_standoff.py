"""CADEC, brat folders and ShARe: fragments, other lines, line ends, both pipe formats, splits, broken lines."""

import pytest

SPLITS = ("train", "dev", "test")
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
    ann = ANN + "R1\tCause Arg1:T3 Arg2:T1\nE1\tX:T1\nA1\tSure T1\nN1\tReference T1 M:1\tx\n*\tAlias T1 T2\n"
    ann += "T6\tADR 3 8;3 8\tknees\nT7\tADR 500 505\tno\nT8\tADR 8 8\t\n"
    made = prepare("brat", write(brat(ann, **{"train/b.txt": "Nothing here.\n"})), "--labels", "ADR", "Drug")
    assert made.code == 0, made.err
    assert made.entities("dev")[0][0] == ("ADR", "knees")
    for line in (
        "3 x relation, no entity, left out (a.ann:7)",
        "3 x event, no entity, left out (a.ann:8)",
        "3 x attribute, no entity, left out (a.ann:9)",
        "3 x normalisation, no entity, left out (a.ann:10)",
        "3 x relation of equivalence, no entity, left out (a.ann:11)",
        "3 x annotation with overlapping fragments, merged (a.ann:12)",
        "3 x annotation that ends after its text, dropped (a.ann:13)",
        "3 x annotation with a fragment that ends before it starts, dropped (a.ann:14)",
        "1 x text without an annotation file, read as having no entities (b.txt)",
    ):
        assert line in made.out


def test_covered_texts_that_are_broken_over_lines(write, prepare):
    """The rest of a text stands in the next lines, whatever they look like; other lines are told as no annotation."""
    text = "Hips: sore\r\n\r\nTo: Reed Labs\r\nAnd more.\r\n"
    spans = [("PAIN", "Hips: sore\r\n\r\nTo: Reed"), ("ORG", "Reed Labs\r\nAnd")]
    terms = [f"{label} {text.index(part)} {text.index(part) + len(part)}\t{part}" for label, part in spans]
    ann = "".join(f"T{number}\t{term}\n" for number, term in enumerate(terms, 1)) + "stray\n#1\tNote T1\tgood\nso\n"
    made = prepare("brat", write(brat(ann, **{f"{split}/a.txt": text for split in SPLITS})), "--across", "join")
    assert made.code == 0, made.err
    assert made.entities("dev") == [[("PAIN", "Hips : sore To : Reed"), ("ORG", "Reed Labs And")]]
    assert "6 x line that is no annotation, left out (a.ann:6, a.ann:8)" in made.out
    assert "3 x note, no entity, left out (a.ann:7)" in made.out and "text is not" not in made.out


def test_offsets_in_utf16_units(write, prepare):
    text = "🙂 Reed Labs 👋🏽 hired Ida.\n"
    ann = "T1\tORG 3 12\tReed Labs\nT2\tPER 24 27\tIda\n"
    made = prepare("brat", write(brat(ann, **{f"{split}/a.txt": text for split in SPLITS})))
    assert made.code == 0, made.err
    assert made.entities("train") == [[("ORG", "Reed Labs"), ("PER", "Ida")]]
    assert "6 x annotation with offsets counted in UTF-16 units, converted (a.ann:1, a.ann:2)" in made.out


@pytest.mark.parametrize(("choice", "entity"), [("characters", "Labs 👋🏽 hired"), ("utf-16", "Reed Labs")])
def test_offsets_that_no_covered_text_shows(choice, entity, write, prepare):
    text = "🙂🙂🙂🙂🙂🙂 Reed Labs 👋🏽 hired Ida.\n"
    raw = write(brat("T1\tORG 13 22\t\n", **{f"{split}/a.txt": text for split in SPLITS}))
    refused = prepare("brat", raw)
    assert "offsets seem to count UTF-16 units: 3 of 3 annotations behind special signs begin or end in" in refused.err
    assert refused.err.endswith("Set --offsets utf-16, or --offsets characters.\n")
    made = prepare("brat", raw, "--offsets", choice)
    assert made.entities("train")[0][0][1].replace("👋 🏽", "👋🏽") == entity


def test_offsets_that_nothing_shows(write, prepare):
    texts = {f"{split}/a.txt": "🙂 ...\n" for split in SPLITS}
    made = prepare("brat", write(brat("T1\tORG 3 4\t\n", **texts)))
    assert made.code == 0, made.err
    assert "3 x annotation behind emoji or the like, without its text: offsets taken as characters" in made.out


def test_shares_of_documents(write, prepare):
    texts = {f"{number}.{ending}": "Rain." * (ending == "txt") for number in range(20) for ending in ("txt", "ann")}
    raw = write(texts | {f"test/{name}": text for name, text in texts.items()})
    made = prepare("brat", raw, "--shares", 90, 10, 0)
    assert made.code == 0, made.err
    assert [len(made.examples(split)) for split in SPLITS] == [18, 2, 20]
    assert "20 x document assigned to a split by --shares 90 10 0: not a published split (raw)" in made.out
    wrong = prepare("brat", raw, "--shares", 80, 10, 10)
    assert "test is there (folder test). Expected 0 for it" in wrong.err and "Give --shares 80 10 0." in wrong.err
    few = prepare("brat", write({f"few/{name}": text for name, text in texts.items() if name[0] in "23"}) / "few")
    assert few.err.endswith("with --splits, or write --shares 100 0 0, which leaves them out.\n")
    assert "--shares: given with --splits" in prepare("brat", raw, "--shares", 8, 1, 1, "--splits", raw).err


def test_labels_that_no_annotation_has(write, prepare):
    made = prepare("brat", write(brat()), "--labels", "ADR", "drug")
    assert made.code == 2
    assert "--labels: no annotation of type drug. Expected types of the source: ADR (12), Drug (3)." in made.err


def test_hidden_files_and_linked_folders(write, prepare, tmp_path):
    mac = {f"train/{name}": b"\0\xff" for name in ("._a.txt", "__MACOSX/a.txt", ".ipynb_checkpoints/a.txt")}
    raw = write(brat(**mac, **{"train/Thumbs.db": "", "train/no.ann": "", "conf": "x"}))
    (tmp_path / "more").mkdir()
    (tmp_path / "more/b.txt").write_text("Rain.")
    (raw / "train/more").symlink_to(tmp_path / "more")
    made = prepare("brat", raw)
    assert made.code == 0, made.err
    assert [len(made.examples(split)) for split in SPLITS] == [3, 2, 2]
    for line in (
        "1 x hidden file, left out (train/._a.txt)",
        "1 x system folder, left out (train/__MACOSX)",
        "1 x hidden folder, left out (train/.ipynb_checkpoints)",
        "1 x annotation file without a text, left out (no.ann)",
        "1 x file that ends neither in .txt nor in .ann, left out (conf)",
    ):
        assert line in made.out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train/a.ann": "T1\tX 3 8\tother\nT2\tX 3 8\tmore\n"}, "most of the 2 annotations do not fit their texts: 2"),
        ({"train/a.ann": "T1 ADR 3 8 knees\n"}, "a.ann:1: 'T1 ADR 3 8 knees'. Expected 'T1<tab>LABEL start end"),
        ({"train/a.txt": b"caf\xe9"}, "a.txt:1: byte 0xe9 at offset 3 is not UTF-8; the file seems to be ISO-8859-1"),
        ({"dev/a.txt": None}, "no document for dev (train 1, dev 0, test 1)"),
        ({f"{split}/a.ann": None for split in ("train", "dev", "test")}, "3 texts and 0 annotations. Expected .txt"),
    ],
)
def test_broken_brat(changes, message, write, prepare):
    files = brat("", **changes) if "do not fit" in message else brat(**changes)
    made = prepare("brat", write({name: text for name, text in files.items() if text is not None}))
    assert made.code == 2 and message in made.err


def test_cadec_without_its_folders(write, prepare):
    assert "0 folders called 'original'. Expected CADEC v2" in prepare("CADEC", write({"text/a.txt": TEXT})).err


# ShARe

NOTE = "Admission Date:\nLeft atrium is mildly dilated. No effusion.\n"


def at(*surfaces):
    return [(NOTE.index(surface), NOTE.index(surface) + len(surface)) for surface in surfaces]


MENTIONS = [at("Left atrium", "dilated"), at("effusion"), at("effusion")]


def old(note):
    return "".join(
        f"{note}||Disease_Disorder||CUI-less" + "".join(f"||{a}||{b}" for a, b in spans) + "\n" for spans in MENTIONS
    )


def new(note):
    rest = "|C0000000|no|*NULL*|patient|*NULL*"
    return "".join(f"{note}|{','.join(f'{a}-{b}' for a, b in spans)}{rest}\n" for spans in MENTIONS)


LAYOUTS = {
    "Share_2013": (old, ("Task1TrainSetCorpus3/ALLREPORTS", "Task1Train_PIPE"), ("Task1TestSetCorpus1", "Gold_SN2012")),
    "Share_2014": (new, ("2014_training_corpus", "2014_training_pipe"), ("2014Task2_test_corpus", "gold")),
}


def corpus(name, **changes):
    lines, train, test = LAYOUTS[name]
    files = {"task_description.txt": "not a note\n"}
    for number, (texts, pipes) in enumerate([train, train, train, test]):
        note = f"0000{number}-ECHO_REPORT.txt"
        files[f"{texts}/{note}"] = NOTE
        files[f"{pipes}/{note.removesuffix('.txt')}.pipe.txt"] = lines(note)
    return files | changes


@pytest.mark.parametrize("name", LAYOUTS)
def test_share(name, write, prepare):
    made = prepare(name, write(corpus(name)))
    assert made.code == 0, made.err
    assert [len(made.examples(split)) for split in ("train", "dev", "test")] == [6, 3, 3]
    assert made.entities("test") == [[("Disorder", "Left atrium dilated")], [("Disorder", "effusion")]]
    assert made.examples("test")[1].entities[0].flat == [0, 2, 4, 5]
    assert "4 x duplicate annotation, counted once (00000-ECHO_REPORT.pipe.txt:3, " in made.out
    assert "1 x training note moved to dev, one in ten (no --splits): not the published split (00002-ECHO" in made.out


def test_dev_from_a_list(write, prepare):
    raw = write(corpus("Share_2013", **{"lists/dev.list": "00000-ECHO_REPORT.txt\n"}))
    made = prepare("Share_2013", raw, "--splits", raw / "lists")
    assert [len(made.examples(split)) for split in ("train", "dev", "test")] == [6, 3, 3]
    assert "put into dev" not in made.out


def test_what_is_missing_is_counted(write, prepare):
    files = corpus("Share_2014", **{"2014_training_pipe/00009-X.pipe.txt": new("00009-X.txt")})
    files["2014_training_pipe/00001-ECHO_REPORT.pipe.txt"] = "00001-ECHO_REPORT.txt|900-903|C0|no\n"
    del files["2014_training_pipe/00000-ECHO_REPORT.pipe.txt"]
    made = prepare("Share_2014", write(files))
    assert "3 x annotated note without a text, left out (00009-X)" in made.out
    assert "1 x annotation that ends after its text, dropped (00001-ECHO_REPORT.pipe.txt:1)" in made.out
    assert "1 x note without annotations, read as having no entities (00000-ECHO_REPORT)" in made.out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gold/00003-ECHO_REPORT.pipe.txt": "0.txt|12:17|C0\n"}, "pipe.txt:1: '0.txt|12:17|C0'. Expected 'note.txt||"),
        ({"old/00003-ECHO_REPORT.pipe.txt": new("00003-ECHO_REPORT.txt")}, "is annotated in gold and in old"),
    ],
)
def test_broken_share(changes, message, write, prepare):
    made = prepare("Share_2014", write(corpus("Share_2014", **changes)))
    assert made.code == 2 and message in made.err


def test_notes_without_annotations(write, prepare):
    made = prepare("Share_2013", write({"train/00001.txt": NOTE}))
    assert "1 notes, 0 annotated notes, none in both. Expected .txt notes" in made.err
