"""What columns look like: comments, delimiters, quotes, names in the first row, sentences, words without tags."""

import pytest

from genner.data.loaders import LOADERS, LoaderOptions
from genner.errors import DataFormatError

COMMENT = "line that starts with '#', skipped"
NAMES = "row of the columns' names, skipped"


@pytest.fixture
def read(tmp_path):
    def read(text, name="a.txt", **options):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8", newline="")
        return LOADERS["conll"](path, LoaderOptions(**options))

    return read


def content(examples):
    return [(list(x.words), [(entity.label, *entity.flat) for entity in x.entities]) for x in examples]


def test_comments_before_sentences_are_skipped_and_counted(read):
    text = "# id 11 domain=dev\nmira _ _ B-PER\nran _ _ O\n\n# id 12 domain=dev\n# sent_id = 2\nrain _ _ O\n"
    examples, report = read(text)
    assert content(examples) == [(["mira", "ran"], [("PER", 0, 1)]), (["rain"], [])]
    assert report.counts == {COMMENT: 3} and report.places[COMMENT] == ["a.txt:1", "a.txt:5", "a.txt:6"]


@pytest.mark.parametrize(
    "text",
    [
        "#winter O\nin O\nOstvik B-LOC\n",  # a hashtag
        "# O\n7 O\nOstvik B-LOC\n",  # a sign
        "#1 B-X\n\n# B-X\n",
        "a O\n# O\n",
    ],
)
def test_rows_that_begin_with_the_sign_are_words(read, text):
    examples, report = read(text)
    rows = [line.split() for line in text.split("\n") if line]
    assert [word for x in examples for word in x.words] == [word for word, _ in rows]
    assert not report.counts


def test_comments_can_be_forced_either_way(read):
    text = "#winter O\nin O\n# 5 O\nOstvik B-LOC\n"
    assert content(read(text.replace("# 5 O\n", ""), comments="never")[0])[0][0] == ["#winter", "in", "Ostvik"]
    examples, report = read(text, comments="always")
    assert content(examples)[0][0] == ["in", "Ostvik"] and report.counts == {COMMENT: 2}
    with pytest.raises(DataFormatError, match=r"a.txt:1: 4 columns in '# id 7 x'"):
        read("# id 7 x\na O\nb B-X\n", comments="never")
    # In the middle of a sentence, or without a blank, it may be a broken row: that is for the user to say.
    with pytest.raises(DataFormatError, match=r"a.txt:2: 3 columns in '# a remark'"):
        read("a O\n# a remark\nb B-X\n")
    with pytest.raises(DataFormatError, match=r"a.txt:1: 1 column in '#winter'"):
        read("#winter\na O\nb B-X\n")


def test_a_comment_in_the_wrong_place_says_how_to_skip_it(read):
    text = "a x O\n# a remark\nb y B-X\n"
    with pytest.raises(DataFormatError, match=r"a.txt:2: tag 'remark' .* set data.comments=always"):
        read(text)
    assert content(read(text, comments="always")[0]) == [(["a", "b"], [("X", 1, 2)])]


def test_the_line_that_differs_from_most_is_blamed(read):
    with pytest.raises(DataFormatError, match=r"a.txt:1: 3 columns in 'Ostvik Bay B-LOC', but 2 in most lines"):
        read("Ostvik Bay\tB-LOC\nis\tO\ncold\tO\n")
    (example,), _ = read("Ostvik Bay\tB-LOC\nis\tO\ncold\tO\n", delimiter="tab")
    assert example.words == ("Ostvik Bay", "is", "cold")


@pytest.mark.parametrize(
    ("delimiter", "sign"), [("tab", "\t"), (r"\t", "\t"), ("comma", ","), ("semicolon", ";"), ("bar", "|"), ("~", "~")]
)
def test_any_delimiter(read, delimiter, sign):
    text = f"Ostvik Bay{sign}x{sign}B-LOC\nis{sign}{sign}O\n\ncold{sign}x{sign}O\n"
    expected = [(["Ostvik Bay", "is"], [("LOC", 0, 1)]), (["cold"], [])]
    assert content(read(text, delimiter=delimiter)[0]) == expected


KAGGLE = (
    "\ufeffSentence #,Word,POS,Tag\nSentence: 1,Mira,NNP,B-per\n,says,VBD,O\n,\",\",\",\",O\n,\"\"\"\",.,O\n"
    "Sentence: 2,Ostvik,NNP,B-geo\n,waits,VB,O\n"
)  # fmt: skip


def test_csv_with_names_and_a_column_of_sentences(read):
    expected = [(["Mira", "says", ",", '"'], [("per", 0, 1)]), (["Ostvik", "waits"], [("geo", 0, 1)])]
    examples, report = read(KAGGLE, "a.csv")
    assert content(examples) == expected and report.counts == {NAMES: 1}
    named = {"word_column": "word", "tag_column": "Tag", "sentence_column": "Sentence #"}
    assert content(read(KAGGLE, "a.csv", **named)[0]) == expected
    assert content(read(KAGGLE, "a.txt", delimiter=",", **named)[0]) == expected
    by_number = {"word_column": "1", "tag_column": "3", "sentence_column": "0"}
    without_names = "\n".join(KAGGLE.split("\n")[1:])
    assert content(read(without_names, "a.csv", **by_number)[0]) == expected


def test_sentence_numbers_on_every_row(read):
    text = "sentence_id\ttoken\tner_tag\n1\ta\tO\n1\tb\tB-X\n2\tb\tB-X\n3\tb\tO\n"
    examples, _ = read(text, "a.tsv")
    assert [list(x.words) for x in examples] == [["a", "b"], ["b"], ["b"]]


def test_quotes_are_words_where_they_enclose_nothing(read):
    text = 'She\tO\n"\tO\nOstvik Bay\tB-LOC\n"\tO\n""\tO\n'
    assert read(text, "a.tsv")[0][0].words == ("She", '"', "Ostvik Bay", '"', '""')
    assert read(text.replace("\t", ","), "a.csv")[0][0].words == ("She", '"', "Ostvik Bay", '"', '""')
    assert read('"She"\tO\n""""\tO\n"Ostvik ""Bay"""\tB-LOC\n', "a.tsv")[0][0].words == ("She", '"', 'Ostvik "Bay"')


def test_semicolons_and_blanks_at_the_edges(read):
    examples, report = read("word; tag\nMira ; B-PER\nruns; O\n", "a.csv")
    assert content(examples) == [(["Mira", "runs"], [("PER", 0, 1)])]
    assert report.counts == {NAMES: 1, "blank at the edge of a word, removed": 1}


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("tok,lab\na,O\n", {}, r"a.csv:1: tag 'lab' .* set data.tag_column and data.word_column to numbers, or"),
        ("tok,lab\na,O\n", {"word_column": "word"}, r"a.csv:1: data.word_column: no column 'word' .*, tok, lab"),
        ("a,O\n", {"sentence_column": 2}, r"data.sentence_column: 2 of 2 columns.* from 0 to 1"),
        ("a,O\n", {"sentence_column": "doc"}, r"data.sentence_column: no column 'doc' in the first row, a, O"),
        ("a,O\n,O\nb,O\n", {}, r"a.csv:2: no word before the tag.* Write _"),
        ("a,O\nb,c,O\nd,O\n", {}, r"a.csv:2: 3 columns in 'b c O', but 2 .* Put the word in quotes"),
        ("a,x,O\nb,O\nd,x,O\n", {}, r"a.csv:2: 2 columns in 'b O', but 3 .* Add what is missing"),
    ],
)
def test_broken_csv(read, text, options, message):
    with pytest.raises(DataFormatError, match=message):
        read(text, "a.csv", **options)


def test_remedies_for_csv_work(read):
    assert content(read("tok,lab\na,O\n", "a.csv", word_column="tok", tag_column="lab")[0]) == [(["a"], [])]
    assert content(read('a,O\n"b,c",O\nd,O\n', "a.csv")[0]) == [(["a", "b,c", "d"], [])]
    assert content(read("a,O\n_,O\nb,O\n", "a.csv")[0]) == [(["a", "_", "b"], [])]


def test_a_first_column_that_counts_the_words(read):
    text = "# sent_id = 1\n1\tMira\tB-PER\n2-3\tran\tO\n2\t#\tO\n\n1\train\tO\n"
    examples, report = read(text)
    assert content(examples) == [(["Mira", "ran", "#"], [("PER", 0, 1)]), (["rain"], [])]
    assert report.counts == {COMMENT: 1, "first column counts the words, so the second is taken for the word": 1}
    assert read("1 B-X\n2 O\n")[0][0].words == ("1", "2")
    assert read("1 x B-X\n7 x O\n")[0][0].words == ("1", "7")
    assert read(text, word_column=-2)[0][0].words == ("Mira", "ran", "#")


def test_labels_alone(read):
    text = "# 5 person-actor\nMira person-actor\nVarga person-actor\nran O\n# person-actor\n"
    with pytest.raises(DataFormatError, match=r"if the tags are labels alone, set data.scheme=io"):
        read(text)
    examples, report = read(text, scheme="io")
    assert content(examples) == [(["Mira", "Varga", "ran", "#"], [("person-actor", 0, 2), ("person-actor", 3, 4)])]
    assert report.counts == {COMMENT: 1, "entity tagged in the scheme IO": 2}


@pytest.mark.parametrize("text", ["Mira\nran\n\nrain\n", "Mira _ _ _\nran _ _ _\n\n# id 5\nrain _ _ _\n"])
def test_words_without_tags(read, text):
    examples, report = read(text)
    assert [list(x.words) for x in examples] == [["Mira", "ran"], ["rain"]]
    assert not report.is_labelled and not any(x.entities for x in examples)


def test_tags_that_are_missing_in_some_lines_only_are_an_error(read):
    with pytest.raises(DataFormatError, match=r"a.txt:3: tag '_' of 'rain _'"):
        read("Mira B-PER\n\nrain _\n")
    with pytest.raises(DataFormatError, match=r"a.txt:3: 1 column in 'rain'"):
        read("Mira B-PER\nran O\nrain\n")


def test_marks_inside_a_file_and_signs_at_the_edges_of_words(read):
    text = "Mira B-PER\n\n\ufeffOst\u200bvik\u200b B-LOC\n\ufeff\n\u200b O\nمی\u200c O\n👩\u200d💻 O\n"
    examples, report = read(text)
    assert [list(x.words) for x in examples] == [["Mira"], ["Ost\u200bvik"], ["_", "می\u200c", "👩\u200d💻"]]
    assert report.counts == {
        "byte order mark inside the file, removed": 2,
        "signs of no width at the edge of a word, removed": 1,
        "word of signs of no width alone, read as _": 1,
    }
    examples, report = read(text.replace("\n\ufeff\n", "\n\n"), compat=True)
    assert examples[1].words == ("\ufeffOst\u200bvik\u200b",) and not report.counts


def test_a_scheme_can_be_demanded(read):
    text = "Mira B-PER\nVarga E-PER\nran O\n"
    assert read(text, scheme="bioes")[1].counts == {"entity tagged in the scheme BIOES": 1}
    with pytest.raises(DataFormatError, match=r"a.txt:2: tag 'E-PER' of 'Varga E-PER' is not of the scheme BIO"):
        read(text, scheme="bio")


def test_advice_of_prediction_names_no_settings(read):
    for text in ("a O\nb\nc O\n", "a B-X note\n", "New York B-X\nis O\na O\n", "a\nb c\n", "a x O\n# a b\nb y O\n"):
        with pytest.raises(DataFormatError) as error:
            read(text, is_training=False)
        assert "data." not in str(error.value)
