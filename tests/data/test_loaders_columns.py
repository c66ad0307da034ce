"""Flat files: BIO columns and the layout of OntoNotes."""

import pytest

from genner.data.loaders import LOADERS, LoaderOptions
from genner.errors import DataFormatError


@pytest.fixture
def load_text(tmp_path):
    def load(text, loader="conll", **options):
        path = tmp_path / "broken.txt"
        path.write_text(text, encoding="utf-8", newline="")
        return LOADERS[loader](path, LoaderOptions(**options))

    return load


def spans(examples):
    return [[(entity.label, *entity.flat) for entity in example.entities] for example in examples]


def test_conll_fixture(fixtures_dir):
    examples, _ = LOADERS["conll"](fixtures_dir / "loaders" / "conll.txt", LoaderOptions())
    assert [x.words for x in examples] == [
        ("Mira", "Tolvanen", "sold", "Quillmoor", "Bank", "."),
        ("Rain", "fell"),
        ("#", "7", "in", "Ostvik", "Norrby"),
    ]
    assert spans(examples) == [[("PER", 0, 2), ("ORG", 3, 5)], [], [("LOC", 3, 4), ("LOC", 4, 5)]]
    assert [x.document for x in examples] == [0, 0, 0]


def test_compat_drops_hash_lines_and_lower_cases(fixtures_dir):
    path = fixtures_dir / "loaders" / "conll.txt"
    examples, report = LOADERS["conll"](path, LoaderOptions(compat=True))
    assert examples[2].words == ("7", "in", "Ostvik", "Norrby")
    assert {e.label for x in examples for e in x.entities} == {"per", "org", "loc"}
    assert report.counts["line that starts with '#', skipped"] == 1


def test_iob1_and_change_of_type(load_text):
    examples, report = load_text("a I-X\nb I-X\nc B-X\nd I-Y\ne O\nf I-Y\n")
    assert spans(examples) == [[("X", 0, 2), ("X", 2, 3), ("Y", 3, 4), ("Y", 5, 6)]]
    assert report.lines() == [
        "broken.txt: 4 x entity tagged in the scheme IOB1 (broken.txt:1, broken.txt:3, broken.txt:4, broken.txt:6)"
    ]


def test_loose_tags_of_a_bio_file(load_text):
    examples, report = load_text("a I-X\nb I-X\nc B-Z\nd I-Y\ne O\nf I-Y\n\ng B-X\n\nh B-X\n\ni B-X\n")
    assert spans(examples)[0] == [("X", 0, 2), ("Z", 2, 3), ("Y", 3, 4), ("Y", 5, 6)]
    assert report.lines() == [
        "broken.txt: 3 x I-X with neither B-X nor I-X before it, read as B-X (broken.txt:1, broken.txt:4, broken.txt:6)"
    ]


def test_entity_does_not_run_into_the_next_sentence(load_text):
    examples, report = load_text("a B-X\n\nb I-X\n")
    assert spans(examples) == [[("X", 0, 1)], [("X", 0, 1)]]
    assert report.counts.total() == 1


def test_hyphens_and_signs_in_types(load_text):
    examples, _ = load_text("a B-creative-work\nb I-creative-work\nc B-R&B\nd B-I/O\n")
    assert spans(examples) == [[("creative-work", 0, 2), ("R&B", 2, 3), ("I/O", 3, 4)]]


def test_only_true_docstart_sentences_are_skipped(load_text):
    text = "-DOCSTART- -X- O\n\na -X- O\n\n-DOCSTART-\n\nb -X- O\n\n-DOCSTART- -X- O\nc -X- B-X\n\n-DOCSTART- -X- B-X\n"
    examples, report = load_text(text)
    assert [x.words for x in examples] == [("a",), ("b",), ("-DOCSTART-", "c"), ("-DOCSTART-",)]
    assert [x.document for x in examples] == [0, 1, 1, 1]
    assert report.counts.total() == 2
    examples, _ = load_text(text, compat=True)
    assert [x.words for x in examples] == [("a",), ("b",)]


def test_tag_and_word_column(load_text):
    text = "1\tMira\tB-PER\t-\n2\tleft\tO\t-\n"
    examples, _ = load_text(text, tag_column=2, word_column=1)
    assert examples[0].words == ("Mira", "left") and spans(examples) == [[("PER", 0, 1)]]
    with pytest.raises(DataFormatError, match=r"broken.txt:1: 4 columns .* set data.word_column and data.tag_column"):
        load_text(text, tag_column=6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a O\nb\n", r"broken.txt:2: 1 column in 'b'. Expected a word and a tag separated by space or tab"),
        ("a O\n\tO\n", r"broken.txt:2: 1 column in 'O'"),
        ("a B-X note\n", r"broken.txt:1: tag 'note' of 'a B-X note' is not a BIO tag.*data.tag_column"),
        ("a O\n# note on b\nb O\n", r"broken.txt:2: 4 columns in '# note on b', but 2 in most lines"),
        ("New York B-LOC\nis O\n", r"broken.txt:1: 3 columns in 'New York B-LOC', but 2 in most lines.*data.delimiter"),
        ("is O\n\nNew York B-LOC\n", r"broken.txt:3: 3 columns in 'New York B-LOC', but 2"),
        ("a B\n", r"broken.txt:1: tag 'B' of 'a B' has no type"),
        ("a B-\n", "has no type"),
        ("a B-PER\nb b-per\n", r"broken.txt:2: tag 'b-per' of 'b b-per' is in another case than 'B-PER'"),
        ("a B-X,B-Y\n", "holds several tags"),
        ("a B-X|I-Y\n", "holds several tags"),
        ("a B-X,O\n", "holds several tags"),
        ("a PER\n", "tag 'PER' .*is not a BIO tag"),
        ("a 0\n", "tag '0' .*is not a BIO tag"),
    ],
)
def test_broken_columns(text, message, load_text):
    with pytest.raises(DataFormatError, match=message):
        load_text(text)


def test_ontonotes_fixture(fixtures_dir):
    examples, _ = LOADERS["ontonotes"](fixtures_dir / "loaders" / "ontonotes.txt", LoaderOptions())
    assert [x.words for x in examples] == [
        ("Mira", "Tolvanen", "left", "Ostvik", "(", "north", ")", "."),
        ("#", "9", "won"),
        ("Rain", "fell"),
    ]
    assert spans(examples) == [[("PERSON", 0, 2), ("GPE", 3, 4)], [("CARDINAL", 1, 2)], []]
    assert [x.document for x in examples] == [0, 0, 1]


def test_ontonotes_compat(load_text, fixtures_dir):
    text = (fixtures_dir / "loaders" / "ontonotes.txt").read_text(encoding="utf-8")
    examples, _ = load_text(text, "ontonotes", compat=True)
    assert spans(examples)[0] == [("person", 0, 2), ("gpe", 3, 4)]
    assert examples[0].words[-1] == "."


def test_ontonotes_without_document_lines(load_text, fixtures_dir):
    text = (fixtures_dir / "loaders" / "ontonotes.txt").read_text(encoding="utf-8")
    text = "\n".join(line for line in text.split("\n") if not line.startswith(("#begin", "#end")))
    examples, _ = load_text(text, "ontonotes")
    assert len(examples) == 3 and {x.document for x in examples} == {None}


def test_ontonotes_as_bio_columns(load_text):
    examples, _ = load_text("Mira NNP B-PERSON\nleft VBD O\n", "ontonotes")
    assert spans(examples) == [[("PERSON", 0, 1)]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("(PERSON*", "*", r"broken.txt:3: name '\*\)' closes a name that was not opened"),
        ("*)", "*", r"broken.txt:5: name '\(GPE\)' opens a name inside \(PERSON"),
        ("(CARDINAL)", "(CARDINAL*", r"broken.txt:12: name '\(CARDINAL\*' is not closed in its sentence"),
        ("(GPE)", "B-GPE", r"broken.txt:5: name 'B-GPE' is not a name in brackets"),
        ("   Speaker_A   (GPE)   -", "", r"broken.txt:5: 9 columns. Expected the CoNLL-2012 layout"),
    ],
)
def test_broken_ontonotes(old, new, message, load_text, fixtures_dir):
    text = (fixtures_dir / "loaders" / "ontonotes.txt").read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(DataFormatError, match=message):
        load_text(text.replace(old, new, 1), "ontonotes")
