"""Hugging Face datasets from local folders: BIO tags, spans of words, spans of characters; what cannot be read."""

import json
import sys

import pytest

WORDS = [["Ida", "met", "Reed", "Labs"], ["Rain", "fell"]]
NAMES = ["O", "B-PER", "B-ORG", "I-ORG"]


@pytest.fixture
def saved(tmp_path):
    """Save columns as a dataset with three splits; returns the folder."""
    datasets = pytest.importorskip("datasets")

    def save(columns, features=None, splits=("train", "validation", "test")):
        made = datasets.Dataset.from_dict(columns, features=features and datasets.Features(features))
        folder = tmp_path / "raw"
        datasets.DatasetDict(dict.fromkeys(splits, made)).save_to_disk(folder)
        return folder

    return save


def test_numbered_tags(saved, prepare):
    datasets = pytest.importorskip("datasets")
    label = datasets.ClassLabel(names=NAMES)
    features = {"tokens": datasets.Sequence(datasets.Value("string")), "ner_tags": datasets.Sequence(label)}
    raw = saved({"tokens": WORDS, "ner_tags": [[1, 0, 2, 3], [0, 0]]}, features)
    made = prepare("hf", raw, "--words", "tokens", "--tags", "ner_tags", "--dataset", "conll2003", loader="conll")
    assert made.code == 0, made.err
    assert made.entities("dev") == [[("PER", "Ida"), ("ORG", "Reed Labs")]]
    assert len(made.examples("test")) == 2
    assert "conll2003: counts differ from the published copy" in made.out


def test_tags_as_text_and_other_split_names(saved, prepare):
    raw = saved({"w": [*WORDS, []], "t": [["B-PER", "O", "I-ORG", "I-ORG"], ["O", "O"], []]}, splits=("a", "b", "c"))
    names = ["--split", "train=a", "--split", "dev=b", "--split", "test=c"]
    made = prepare("hf", raw, "--words", "w", "--tags", "t", *names, loader="conll")
    assert made.entities("test") == [[("PER", "Ida"), ("ORG", "Reed Labs")]]
    assert "3 x I-X with neither B-X nor I-X before it, read as B-X (train, row 1, dev, row 1, test, row 1)" in made.out
    assert "3 x row without words, skipped (train, row 3" in made.out


def test_spans_of_words(saved, prepare):
    spans = [[{"start": 2, "end": 3, "label": "ORG"}, {"start": 3, "end": 3, "label": "X"}] * 2, []]
    raw = saved({"w": WORDS, "s": spans})
    made = prepare("hf", raw, "--words", "w", "--spans", "s", "--inclusive", loader="nested")
    assert made.code == 0, made.err
    assert made.entities("train") == [[("ORG", "Reed Labs"), ("X", "Labs")]]
    assert "6 x duplicate annotation, counted once" in made.out


def test_spans_of_characters(saved, prepare):
    text = ["Ida met Reed Labs. Rain fell.", "No"]
    spans = [[{"start": "8", "end": "17", "type": "ORG"}, {"start": "0", "end": "3", "type": "PER"}], []]
    raw = saved({"text": text, "entities": spans})
    made = prepare("hf", raw, "--text", "text", "--spans", "entities", loader="nested")
    assert made.code == 0, made.err
    assert made.entities("train") == [[("PER", "Ida"), ("ORG", "Reed Labs")]]
    assert len(made.examples("train")) == 3


def test_a_folder_of_data_files(write, prepare):
    pytest.importorskip("datasets")
    rows = "".join(json.dumps({"w": words, "t": ["O"] * len(words)}) + "\n" for words in WORDS)
    raw = write({f"{split}.jsonl": rows.replace('["O",', '["B-PER",') for split in ("train", "validation", "test")})
    made = prepare("hf", raw, "--words", "w", "--tags", "t", loader="conll")
    assert made.code == 0, made.err
    assert made.entities("train") == [[("PER", "Ida")], [("PER", "Rain")]]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"w": WORDS, "t": [["O"], ["O", "O"]]}, ["--words", "w", "--tags", "t"], "train, row 1: 1 tags for 4 words"),
        ({"w": WORDS, "t": [[1] * 4, [1] * 2]}, ["--words", "w", "--tags", "t"], "train, row 1: tag 1. Expected O"),
        ({"w": WORDS}, ["--words", "w", "--tags", "ner"], "hf: train has no column ner. Expected one of w"),
        ({"w": WORDS}, ["--words", "w"], "hf: no pair of columns. Expected --words and --tags, --words and --spans"),
        (
            {"w": WORDS, "s": [[{"start": 0, "end": 9, "label": "X"}], []]},
            ["--words", "w", "--spans", "s"],
            "train, row 1: span 0..9 of 4. Expected offsets inside",
        ),
        ({"w": WORDS, "s": [[{"a": 0}], []]}, ["--words", "w", "--spans", "s"], "Expected start, end and label"),
        ({"w": WORDS, "t": WORDS}, ["--words", "w", "--tags", "t", "--split", "dev=x"], "no split 'x', found train"),
        ({"w": WORDS, "t": WORDS}, ["--words", "w", "--tags", "t", "--split", "x"], "--split: 'x'. Expected train=N"),
    ],
)
def test_broken(columns, options, message, saved, prepare):
    made = prepare("hf", saved(columns), *options)
    assert made.code == 2
    assert message in made.err


TAGGED = {"tokens": WORDS[0], "tags": ["B-PER", "O", "B-ORG", "I-ORG"]}
TEXT = {"text": "🙂 Ida met Reed Labs.", "spans": [{"start": 11, "end": 20, "label": "ORG", "text": "Reed Labs"}]}
TAGS = ["--words", "tokens", "--tags", "tags"]
SPANS = ["--text", "text", "--spans", "spans"]


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def splits(*rows):
    return {f"{split}.jsonl": lines(*rows) for split in ("train", "validation", "test")}


def test_offsets_of_spans_are_counted_as_their_texts_show(write, prepare):
    made = prepare("hf", write(splits(TEXT)), *SPANS, loader="nested")
    assert made.entities("dev") == [[("ORG", "Reed Labs")]]
    assert "3 x annotation with offsets counted in UTF-16 units, converted (train, row 1, dev, row 1, " in made.out


def test_rows_that_are_refused_or_empty_are_left_out(write, prepare):
    refused = [TEXT | {"answer": answer} for answer in ("REJECT", "ignore")]
    unlabelled, empty = {"text": "Rain.", "spans": None}, {"text": None, "spans": []}
    kept = TEXT | {"answer": "accept"}
    made = prepare("hf", write(splits(kept, *refused, unlabelled, empty)), *SPANS, loader="nested")
    assert made.code == 0, made.err
    assert [len(made.examples(split)) for split in ("train", "dev", "test")] == [1, 1, 1]
    for reason in ("row with the answer 'REJECT', left out", "row with the answer 'ignore', left out"):
        assert f"3 x {reason} (train, row" in made.out
    assert "3 x row without labels, left out (train, row 4" in made.out
    assert "3 x row without words, skipped (train, row 5" in made.out


def test_words_that_only_mark_a_document_are_left_out(write, prepare):
    made = prepare("hf", write(splits(TAGGED, {"tokens": ["-DOCSTART-"], "tags": ["O"]})), *TAGS, loader="conll")
    assert made.code == 0, made.err
    assert "3 x row that only marks the start of a document, left out" in made.out


@pytest.mark.parametrize(
    ("tags", "entities", "counted"),
    [
        (["S-PER", "O", "B-ORG", "E-ORG"], [("PER", "Ida"), ("ORG", "Reed Labs")], "entity tagged in the scheme BIO"),
        (["PER", "O", "ORG", "ORG"], [("PER", "Ida"), ("ORG", "Reed Labs")], "entity tagged in the scheme IO"),
    ],
)
def test_other_schemes(tags, entities, counted, write, prepare):
    made = prepare("hf", write(splits(TAGGED | {"tags": tags})), *TAGS, loader="conll")
    assert made.entities("train") == [entities]
    assert f"6 x {counted}" in made.out


def test_names_of_numbers(write, prepare):
    rows = splits(TAGGED | {"tags": [1, 0, 2, 3]})
    rows["test.jsonl"] = lines(TAGGED | {"tags": [-1] * 4})
    made = prepare("hf", write(rows), *TAGS, "--names", *NAMES, loader="conll")
    assert made.entities("dev") == [[("PER", "Ida"), ("ORG", "Reed Labs")]]
    assert "1 x row of a split without any value in column 'tags', left out (test)" in made.out
    assert sorted(path.name for path in made.folder.iterdir()) == ["dev.txt", "prepare.json", "train.txt"]


def test_numbered_labels_of_spans(saved, prepare):
    datasets = pytest.importorskip("datasets")
    number = datasets.Value("int64")
    span = {"start": number, "end": number, "type": datasets.ClassLabel(names=["A", "B"])}
    features = {"text": datasets.Value("string"), "e": datasets.List(span)}
    raw = saved({"text": ["Ida ran."], "e": [[{"start": 0, "end": 3, "type": 1}]]}, features)
    assert prepare("hf", raw, "--text", "text", "--spans", "e", loader="nested").entities("test") == [[("B", "Ida")]]


def test_parts_of_spans(write, prepare):
    span = {"offsets": [[4, 8], [13, 17]], "type": "PAIN", "text": ["left", "knee"]}
    made = prepare("hf", write(splits({"text": "The left and knee.", "spans": [span]})), *SPANS, loader="discontinuous")
    assert made.entities("dev") == [[("PAIN", "left knee")]]


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "json"])
def test_files_of_other_kinds(ending, tmp_path, prepare):
    datasets = pytest.importorskip("datasets")
    (tmp_path / "raw").mkdir()
    row = TAGGED if ending in ("parquet", "json") else {key: json.dumps(value) for key, value in TAGGED.items()}
    made = datasets.Dataset.from_list([row] * 10)
    path = tmp_path / f"raw/corpus.{ending}"
    match ending:
        case "parquet":
            made.to_parquet(path)
        case "json":
            path.write_text(json.dumps([TAGGED] * 10, indent=2))
        case _:
            made.to_csv(path, sep="," if ending == "csv" else "\t")
    for raw in (path, path.parent):
        if (ending, raw) != ("tsv", path.parent):  # the library takes them for CSV there
            done = prepare("hf", raw, *TAGS, "--shares", 8, 1, 1, loader="conll")
            assert done.code == 0, done.err
            assert done.entities("test") == [[("PER", "Ida"), ("ORG", "Reed Labs")]]


@pytest.mark.parametrize("names", [("train", "dev", "test"), ("corpus",)])
def test_endings_that_the_library_does_not_know(names, write, prepare):
    pytest.importorskip("datasets")
    raw = write({f"{name}.jsonlines": lines(*[TAGGED] * 9) for name in names})
    made = prepare("hf", raw, *TAGS, *(["--shares", 7, 1, 1] if len(names) == 1 else []), loader="conll")
    assert made.code == 0, made.err
    assert made.entities("test")[0] == [("PER", "Ida"), ("ORG", "Reed Labs")]


def test_shares_of_one_table(write, prepare):
    rows = [TAGGED | {"doc": f"d{number // 4}"} for number in range(80)]
    raw = write({"corpus.jsonl": lines(*rows)})
    made = prepare("hf", raw, *TAGS, "--shares", 80, 10, 10, "--document", "doc", loader="conll")
    assert made.code == 0, made.err
    assert [len(made.examples(split)) for split in ("train", "dev", "test")] == [64, 8, 8]
    assert "80 x row assigned to a split by --shares 80 10 10: not a published split (train, dev, test)" in made.out


def test_train_only(write, prepare):
    made = prepare("hf", write({"corpus.jsonl": lines(TAGGED, TAGGED)}), *TAGS, "--shares", 1, 0, 0, loader="conll")
    assert made.code == 0, made.err
    assert sorted(path.name for path in made.folder.iterdir()) == ["prepare.json", "train.txt"]


def test_dev_out_of_train_beside_a_test_of_its_own(write, prepare):
    raw = write({"train.jsonl": lines(*[TAGGED] * 10), "test.jsonl": lines(TAGGED)})
    made = prepare("hf", raw, *TAGS, "--shares", 80, 20, 0, loader="conll")
    assert [len(made.examples(split)) for split in ("train", "dev", "test")] == [8, 2, 1]


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ({"c.jsonl": lines(TAGGED)}, [], "no split for dev and test, found train. Expected train, dev and test. Nam"),
        ({"c.jsonl": lines(TAGGED)}, [], "Name it with --split dev=NAME, or write --shares 100 0 0, which leaves"),
        ({"c.jsonl": lines(*[TAGGED] * 9)}, [], "or write --shares 80 10 10 (0 for a split that you do not"),
        ({"c.jsonl": lines(TAGGED)}, ["--shares", "8", "1", "1"], "1 rows for 3 shares. Expected at least one for e"),
        (splits(TAGGED), ["--shares", "8", "1", "1"], "dev is there ('validation' of the dataset) and test is there"),
        (splits(TAGGED), ["--shares", "8", "1", "1"], "Give --shares 8 0 0."),
        (splits(TAGGED), ["--shares", "0", "1", "1"], "--shares: 0 1 1. Expected three numbers from 0 on, the first"),
        (splits(TAGGED | {"tags": None}), [], "no row of train has a value in column 'tags'. Expected labels. Choose"),
        (splits(TAGGED | {"answer": "reject"}), [], "no sentences left (3 x row with the answer 'reject', left out"),
        ({"train.jsonl": ""}, [], "train.jsonl: empty. Expected rows of a dataset. Fill or remove the file."),
        ({"train.jsonl": lines(TAGGED) + "{"}, [], "train.jsonl:2: not JSON: '{'. Expected one object per line, or"),
        ({"train.jsonl": lines(*[["Ida", {"entities": []}]] * 2)}, [], "train.jsonl:1: JSON, but no object: \"['Ida'"),
        ({"train.json": '[\n {"tokens": []},\n {"tokens": 1\n]\n'}, [], "train.json:4: not JSON: ']'. Expected one"),
        ({"train.csv": "tokens,tags\nIda,B-PER\nran,O\n"}, ["--shares", "1", "0", "0"], "holds one word per row"),
        ({"train.jsonl": lines(TAGGED).encode("utf-16")}, [], "not UTF-8; the file seems to be UTF-16. Expected UTF"),
        (splits({"tokens": ["caf\u00e9"], "tags": ["O"]}), [], "not UTF-8; the file seems to be ISO-8859-1. Expecte"),
    ],
)  # fmt: skip
def test_sources_that_cannot_be_read(files, options, message, write, prepare):
    pytest.importorskip("datasets")
    if "ISO" in message:
        files = {name: text.replace("\\u00e9", "é").encode("latin-1") for name, text in files.items()}
    made = prepare("hf", write(files), *TAGS, *options)
    assert made.code == 2 and message in made.err
    assert not made.folder.exists()


WORD_SPAN = {"start": 2, "end": 4, "label": "ORG", "text": "Reed Labs"}


@pytest.mark.parametrize(
    ("span", "options", "message"),
    [
        (WORD_SPAN, [], None),
        (WORD_SPAN | {"end": 3}, ["--inclusive"], None),
        (WORD_SPAN | {"end": 3}, [], "'Reed Labs' is a span's text if its end is inclusive. Expected exclusive ends"),
        (WORD_SPAN | {"end": 3, "text": "Reed"}, ["--inclusive"], "end is exclusive. Expected inclusive ends. Leave"),
        (WORD_SPAN | {"text": "Rain"}, [], "the texts of 3 of 3 spans are not those of their words (train, row 1, d"),
        (WORD_SPAN | {"start": 8, "end": 17}, [], "span 8..17 of 4. Expected offsets inside, ends exclusive. If the"),
        (WORD_SPAN | {"end": 2}, [], "span 2..2 of 4. Expected offsets inside, ends exclusive. Set --inclusive if t"),
    ],
)  # fmt: skip
def test_texts_of_spans_of_words(span, options, message, write, prepare):
    pytest.importorskip("datasets")
    raw = write(splits({"tokens": WORDS[0], "spans": [span]}))
    made = prepare("hf", raw, "--words", "tokens", "--spans", "spans", *options, loader="nested")
    if message is None:
        assert made.entities("train") == [[("ORG", "Reed Labs")]]
    else:
        assert made.code == 2 and message in made.err


def test_text_where_words_belong(write, prepare):
    pytest.importorskip("datasets")
    made = prepare("hf", write(splits(TEXT)), "--words", "text", "--spans", "spans")
    assert made.code == 2
    assert "column 'text' holds text ('🙂 Ida met Reed Labs.'). Expected a list of words in every row. Nam" in made.err


def test_a_dataset_that_is_not_there(tmp_path, prepare):
    pytest.importorskip("datasets")
    made = prepare("hf", tmp_path / "nowhere", "--words", "w", "--tags", "t")
    assert made.code == 2
    assert "cannot be opened" in made.err and "Expected a folder made by save_to_disk" in made.err


def test_without_the_library(tmp_path, prepare, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)  # what Python does where it is not installed
    made = prepare("hf", tmp_path, "--words", "w", "--tags", "t")
    assert made.code == 2
    assert "error: hf: datasets cannot be imported" in made.err
    assert made.err.endswith(f"Expected it to be installed. Run: {sys.executable} -m pip install 'datasets>=5,<6'\n")


def test_broken_json_is_refused_before_the_library_reads_it(tmp_path, prepare):
    """The library ends the process with a segmentation fault on some of it, this one included."""
    raw = tmp_path / "broken"
    raw.mkdir()
    for split in ("validation", "test"):
        (raw / f"{split}.jsonl").write_text('{"tokens": ["Ida", "slept"], "tags": ["B-PER", "O"]}\n')
    broken = 'null, "slept"],, "tags": ["B-PER", "O"]}\r{"tokens": ["Ida"], "tags": ["B-PE' + "(" * 20_000
    (raw / "train.jsonl").write_text(broken, newline="")
    made = prepare("hf", raw, "--words", "tokens", "--tags", "tags")
    assert made.code == 2 and "train.jsonl:1: not JSON: 'null, " in made.err


def test_json_beside_tables_is_no_part_of_the_dataset(tmp_path, prepare):
    pytest.importorskip("datasets")
    raw = tmp_path / "tables"
    raw.mkdir()
    for split in ("train", "validation", "test"):
        (raw / f"{split}.csv").write_text('text,spans\nIda slept,"[[0, 3, ""PER""]]"\n')
    (raw / "labels.json").write_text('["PER"]')
    assert prepare("hf", raw, "--text", "text", "--spans", "spans", loader="nested").code == 0


def test_brackets_that_are_too_deep_do_not_end_the_process(tmp_path, prepare):
    pytest.importorskip("datasets")
    raw = tmp_path / "deep"
    raw.mkdir()
    row = json.dumps({"text": "Ida " + "[" * 2000, "spans": []})
    for split in ("train", "validation", "test"):
        (raw / f"{split}.jsonl").write_text(f"{row}\n" + '{"a" [' * 30_000 * (split == "test"))
    made = prepare("hf", raw, "--text", "text", "--spans", "spans", loader="nested")
    assert made.code == 2
    assert "test.jsonl:2: brackets within brackets, more than 500 deep. Expected rows" in made.err
