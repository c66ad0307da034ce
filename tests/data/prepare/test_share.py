"""ShARe 2013 and 2014: both pipe formats, parts by folder, dev from lists or one note of ten."""

import pytest

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
