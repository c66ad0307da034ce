"""CoNLL-2003 and OntoNotes originals, and their broken twins, through the command."""

import pytest

CONLL = """-DOCSTART- -X- O O

{0} NNP I-NP I-ORG
Labs NNP I-NP I-ORG
Norway NNP I-NP B-ORG
hired VBD I-VP O

Ida NNP I-NP I-PER

-DOCSTART- -X- O O

Rain NN I-NP O
"""
FILES = {"eng.train": CONLL.format("Fjord"), "eng.testa": CONLL.format("Moss"), "eng.testb": CONLL.format("Reed")}


def test_conll2003(write, prepare):
    made = prepare("conll2003", write(FILES))
    assert made.code == 0, made.err
    assert made.entities("dev") == [[("ORG", "Moss Labs"), ("ORG", "Norway")], [("PER", "Ida")]]
    assert [x.document for x in made.examples("test")] == [0, 0, 1]
    assert (made.folder / "train.txt").read_text().startswith("-DOCSTART- O\n\nFjord B-ORG\nLabs I-ORG\nNorway B-ORG\n")
    assert "9 x entity tagged in the scheme IOB1 (eng.train:3, eng.train:5, " in made.out
    assert "9 sentences in " in made.out
    assert "conll2003: counts differ from the published copy: sentences train 3, dev 3, test 3, published" in made.out
    assert (made.folder / "prepare.json").is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eng.testb": None}, "no test file"),
        ({"eng.testa": "Ida I-PER\n"}, r"eng.testa:1: 2 columns in 'Ida I-PER'. Expected 4: word, part of speech"),
        ({"eng.train": CONLL + "Bo NNP I-NP PER\n"}, "eng.train:13: tag 'PER'"),
        ({"eng.train": b"Z\xfcrich NNP I-NP I-LOC\n"}, "eng.train:1: byte 0xfc at offset 1 is not UTF-8"),
    ],
)
def test_broken_conll2003(changes, message, write, prepare):
    files = {name: text for name, text in (FILES | changes).items() if text is not None}
    made = prepare("conll2003", write(files))
    assert made.code == 2
    reading, told = made.err.splitlines()
    assert reading.startswith("reading ") and told.startswith("error: ") and message in told
    assert not list(made.folder.glob("*.txt"))


def ontonotes_file(name, *rows):
    lines = [f"{name} 0 {n} {word} NN (TOP* - - - - {tag} * -" for n, (word, tag) in enumerate(rows)]
    return f"#begin document ({name}); part 000\n" + "\n".join(lines) + "\n\n#end document\n"


TREE = {
    "train": ("train/data/english/annotations/nw/x/00/x_0001.v4_gold_conll", "nw/x/00/x_0001"),
    "dev": ("development/data/english/annotations/bc/x/00/x_0002.v4_gold_conll", "bc/x/00/x_0002"),
    "test": ("test/data/english/annotations/bc/x/00/x_0003.v4_gold_conll", "bc/x/00/x_0003"),
}
ROWS = (("Ida", "(PERSON)"), ("owes", "*"), ("ten", "(MONEY*"), ("crowns", "*)"), ("-LRB-", "*"))


def tree(**more):
    files = {path: ontonotes_file(name, *ROWS) for path, name in TREE.values()}
    pivot = "train/data/english/annotations/pt/nt/40/nt_4001.v4_gold_conll"
    files[pivot] = ontonotes_file("pt/nt/40/nt_4001", ("Selah", "*"))
    files[TREE["train"][0].replace("_gold", "_auto")] = "no matter\n"
    files["train/data/chinese/annotations/nw/y/00/y_0001.v4_gold_conll"] = ontonotes_file("nw/y", ("x", "*"))
    return files | more


def test_ontonotes(write, prepare):
    made = prepare("en-ontonotes", write(tree()))
    assert made.code == 0, made.err
    assert made.entities("train") == [[("PERSON", "Ida"), ("MONEY", "ten crowns")]]
    assert made.examples("train")[0].words[-1] == "("
    made.loader = "ontonotes"  # what the recipe names
    assert made.entities("train") == [[("PERSON", "Ida"), ("MONEY", "ten crowns")]]
    assert "1 x document of the New Testament, left out (nt_4001.v4_gold_conll)" in made.out
    assert "1 x file of another language, left out (y_0001.v4_gold_conll)" in made.out


def test_ontonotes_with_the_new_testament(write, prepare):
    made = prepare("en-ontonotes", write(tree()), "--keep_new_testament")
    assert len(made.examples("train")) == 2
    assert [x.document for x in made.examples("train")] == [0, 1]


def test_ontonotes_takes_the_official_test(write, prepare):
    official = TREE["test"][0].replace("test/", "conll-2012-test/", 1)
    made = prepare("en-ontonotes", write(tree(**{official: ontonotes_file("bc/z", ("Bo", "(PERSON)"))})))
    assert made.entities("test") == [[("PERSON", "Bo")]]
    assert "1 x file of 'test' beside the official 'conll-2012-test', left out (x_0003.v4_gold_conll)" in made.out


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train", ontonotes_file("nw/x", ("[WORD]", "*")), "the words are not filled in ([WORD]). Expected words"),
        ("dev", ontonotes_file("bc/x", ("Ida", "(PERSON*")), "name '(PERSON*' is not closed in its sentence"),
        ("test", None, "no *_gold_conll or *.conll file for test. Expected folders train, development and test"),
    ],
)
def test_broken_ontonotes(name, text, message, write, prepare):
    files = tree(**{TREE[name][0]: text})
    made = prepare("en-ontonotes", write({path: text for path, text in files.items() if text is not None}))
    assert made.code == 2 and message in made.err
