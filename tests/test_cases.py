"""Small inputs on which users stumble, from the folder in GENNER_CASES: every one comes out right.

The numbers are those of the README in that folder, which says what is right; where it allows two outcomes, so do the
tests.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from genner.app.corpus import open_corpus
from genner.commands import predict, prepare, report, share, sweep, train
from genner.config import load_recipe
from genner.data.loaders import LOADERS
from genner.data.schema import Example
from genner.errors import NerError
from genner.prediction.recogniser import Recogniser, load
from tests.conftest import folder_or_skip

ROOT = Path(__file__).parents[1]
N_CASES = 33
Surfaces = set[tuple[str, str]]


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of the cases."""
    return folder_or_skip("GENNER_CASES", ROOT.parent / "shared" / "cases")


@pytest.fixture(scope="session")
def ner(cases: Path, trained_model: Path) -> Recogniser:
    """The small trained model; not trained where there are no cases."""
    return load(trained_model, device="cpu")


class Shell:
    """Runs commands in this process.

    Attributes:
        out, err: what the last one printed.
    """

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys, self.out, self.err = capsys, "", ""

    def __call__(self, command: object, *arguments: object) -> int:
        """The exit code."""
        try:
            code = command.main([str(one) for one in arguments])
        except SystemExit as usage:
            code = int(usage.code or 0)
        self.out, self.err = self.capsys.readouterr()
        assert "Traceback" not in self.err
        return code

    def check_data(self, folder: Path, kind: str, *more: str) -> int:
        """``genner train --check_data`` on a corpus."""
        return self(train, *_corpus(folder, kind, *more), "--check_data")

    @property
    def error(self) -> str:
        """The one error of the last command."""
        assert self.err.count("error: ") == 1, self.err
        return self.err.partition("error: ")[2].strip()


@pytest.fixture
def shell(workplace: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Commands, in an empty working folder."""
    return Shell(capsys)


def _corpus(folder: Path, kind: str, *more: str) -> list[str]:
    about = ["--dataset_name", "mine", "--backbone", "scratch:tiny", "--kind", kind]
    return [*about, "--data_root", str(folder), "data.cache=false", *more]


def surfaces(examples: Sequence[Example]) -> Surfaces:
    """Labels and words of all entities."""
    return {
        (entity.label, " ".join(example.words[index] for index in entity.word_indices()))
        for example in examples
        for entity in example.entities
    }


def read(folder: Path, kind: str) -> Iterator[Surfaces]:
    """The entities of train, dev and test as ``genner train`` reads them."""
    recipe = train.recipe_of(train.parse(_corpus(folder, kind)))
    return (surfaces(examples) for examples in open_corpus(recipe).examples.values())


def prepared(folder: Path, loader: str) -> Iterator[Surfaces]:
    """The entities of files that ``genner prepare`` wrote."""
    paths = sorted(path for path in folder.iterdir() if path.name.partition(".")[0] in ("train", "dev", "test"))
    assert len(paths) == 3
    return (surfaces(LOADERS[loader](path)[0]) for path in paths)


def annotated(folder: Path) -> Surfaces:
    """Labels and covered texts in the ``.ann`` files of a folder."""
    lines = [
        line.split("\t") for path in folder.rglob("*.ann") for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return {(fields[1].split()[0], fields[2]) for fields in lines if len(fields) == 3}


def rows(folder: Path) -> list[dict]:
    """The JSON lines of the training split."""
    return [json.loads(line) for line in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()]


def test_every_case_is_tested(cases: Path) -> None:
    numbers = [
        int(number) for number in re.findall(r"^\*\*(\d+)\.\*\*", (cases / "README.md").read_text(), re.MULTILINE)
    ]
    tested = {int(number) for name in globals() for number in re.findall(r"\d+", name) if name.startswith("test_case_")}
    assert numbers == list(range(1, N_CASES + 1))
    assert tested <= set(numbers)
    assert not set(numbers) - tested


# Names that YAML types


def test_case_1_a_label_of_a_recipe_stays_text(cases: Path) -> None:
    labels = load_recipe(cases / "yaml_names" / "recipe.yaml").labels
    assert list(labels) == ["NO", "LOC"]


def test_case_2_words_of_the_command_line_stay_text(cases: Path) -> None:
    assert load_recipe(cases / "yaml_names" / "recipe.yaml", ["labels.LOC=yes"]).labels["LOC"] == "yes"


def test_case_3_a_data_set_of_a_sweep_stays_text(cases: Path, shell: Shell) -> None:
    assert shell(sweep, cases / "yaml_names" / "sweep.yaml", "--dry_run", "--runs_dir", "out") == 0
    assert re.search(r"dataset(_name)?=no\b", shell.out) and "False" not in shell.out


# Label names as keys


def test_case_4_a_label_with_a_dot_is_given_words(cases: Path, shell: Shell) -> None:
    if shell.check_data(cases / "label_keys" / "flat", "flat", "labels.PER.NAM=person") != 0:
        assert "PER.NAM" in shell.error
        return
    recipe = train.recipe_of(train.parse(_corpus(cases, "flat", "labels.PER.NAM=person")))
    assert recipe.labels == {"PER.NAM": "person"}


def test_case_5_labels_in_nested_mappings(cases: Path, shell: Shell) -> None:
    path, data = cases / "label_keys" / "nested_mapping.yaml", cases / "label_keys" / "flat"
    if shell(train, "--recipe", path, "--data_root", data, "--check_data", "data.cache=false") != 0:
        assert "labels" in shell.error and "PER" in shell.error
        return
    assert load_recipe(path).labels.keys() == {"PER.NAM", "PER.NOM"}


def test_case_6_words_for_a_label_that_the_data_lacks(cases: Path, shell: Shell) -> None:
    shell.check_data(cases / "label_keys" / "flat", "flat", "labels.PRE=person")
    assert "PRE" in shell.out + shell.err


# How offsets are counted


def test_case_7_utf16_offsets_in_brat(cases: Path, shell: Shell) -> None:
    folder = cases / "offsets" / "brat_utf16"
    if shell(prepare, "brat", "--raw", folder, "--out", "out") != 0:
        assert "UTF-16" in shell.error
        return
    assert list(prepared(Path("out"), "discontinuous")) == [annotated(folder)] * 3


def test_case_8_utf16_offsets_in_a_dataset(cases: Path, shell: Shell) -> None:
    folder = cases / "offsets" / "hf_utf16"
    if shell(prepare, "hf", "--raw", folder, "--out", "out", "--text", "text", "--spans", "entities") != 0:
        assert "UTF-16" in shell.error
        return
    expected = {(span["label"], span["text"]) for row in rows(folder) for span in row["entities"]}
    found = list(prepared(Path("out"), "nested"))
    assert found == [expected] * 3 or re.search(r"\d+ x .*text", shell.out)


# Text where a list of words belongs


def test_case_9_a_column_of_text_is_no_column_of_words(cases: Path, shell: Shell) -> None:
    folder = cases / "text_as_words" / "hf"
    assert shell(prepare, "hf", "--raw", folder, "--out", "out", "--words", "text", "--spans", "entities") == 2
    assert "--text" in shell.error


def test_case_10_words_of_one_sentence_where_sentences_are_expected(ner: Recogniser) -> None:
    with pytest.raises((TypeError, NerError), match="sentences"):
        ner.predict_words(["Cold", "hands"])


# Missing values


def test_case_11_a_word_that_is_missing(cases: Path, shell: Shell) -> None:
    folder = cases / "missing_values" / "hf_tags"
    if shell(prepare, "hf", "--raw", folder, "--out", "out", "--words", "tokens", "--tags", "ner_tags") != 0:
        assert "row 1" in shell.error
        return
    (path,) = Path("out").glob("train.*")
    words = [word for example in LOADERS["conll"](path)[0] for word in example.words]
    assert "None" not in words and words.count("_") == 1
    assert re.search(r"^ *\d+ x .*word", shell.out, re.MULTILINE)


# Output that is not UTF-8


def test_case_12_output_in_another_encoding(cases: Path, workplace: Path) -> None:
    folder = cases / "output_stream" / "flat"
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", *_corpus(folder, "flat"), "--check_data"],
        env=os.environ | {"PYTHONIOENCODING": "cp1252"}, capture_output=True, cwd=workplace,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode("cp1252")
    assert b"sentences" in done.stdout


# ${...} in a value


def test_case_13_interpolation_is_no_part_of_our_language(cases: Path, shell: Shell) -> None:
    if shell.check_data(cases / "output_stream" / "flat", "flat", "labels.PER=${x}") != 0:
        assert "${x}" in shell.error


# Run names that are paths


def test_case_14_a_run_name_that_is_a_path(shell: Shell, cases: Path) -> None:
    data = _corpus(cases / "output_stream" / "flat", "flat", "training.epochs=1", "batching.size=4")
    if shell(train, *data, "--runs_dir", "out", "--run_name", "first/try") == 0:
        assert shell(report, "out", "--out", "tables") == 0
        assert "first/try" in shell.out
    else:
        assert "first/try" in shell.error


# Entities of earlier components (spaCy)


def test_case_15_entities_of_earlier_components_are_kept(trained_model: Path, cases: Path) -> None:
    spacy = pytest.importorskip("spacy")
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "DAY", "pattern": "Friday"}])
    nlp.add_pipe("genner", config={"model": str(trained_model)})
    doc = nlp("It was closed on Friday.")
    covered = {token for span in doc.ents if span.label_ != "DAY" for token in span}
    assert covered & set(doc[4:5]) or [span.text for span in doc.ents if span.label_ == "DAY"] == ["Friday"]


# Hidden files, marks inside files


def test_case_16_hidden_files_are_left_out_and_counted(cases: Path, shell: Shell) -> None:
    folder = cases / "hidden_files" / "brat"
    assert shell(prepare, "brat", "--raw", folder, "--out", "out") == 0, shell.err
    assert list(prepared(Path("out"), "discontinuous")) == [annotated(folder)] * 3
    assert "1 x hidden" in shell.out


def test_case_17_a_byte_order_mark_inside_a_file(cases: Path, shell: Shell) -> None:
    folder = cases / "inner_mark" / "flat"
    assert shell.check_data(folder, "flat") == 0, shell.err
    assert "byte order mark" in shell.out
    for found in read(folder, "flat"):
        assert len(found) == 2 and not any("\ufeff" in word for _, word in found)


# Other tools' JSON


def test_case_18_the_files_of_w2ner(cases: Path, shell: Shell) -> None:
    folder = cases / "foreign_shapes" / "w2ner"
    if shell.check_data(folder, "discontinuous") != 0:
        assert "sentence" in shell.error and "ner" in shell.error
        return
    (row,) = json.loads((folder / "train.json").read_text(encoding="utf-8"))
    expected = {(one["type"], " ".join(row["sentence"][index] for index in one["index"])) for one in row["ner"]}
    assert list(read(folder, "discontinuous")) == [expected] * 3


def _predicted(shell: Shell, model: Path, *arguments: object) -> list[dict]:
    """The records of ``genner predict``, which are all read."""
    assert shell(predict, model, "--output", "out.jsonl", "--device", "cpu", *arguments) == 0, shell.err
    found = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert not [record for record in found if "error" in record]
    return found


def test_case_19_the_files_of_prodigy(cases: Path, shell: Shell, trained_model: Path) -> None:
    path = cases / "foreign_shapes" / "prodigy.jsonl"
    texts = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert [record["text"] for record in _predicted(shell, trained_model, "--input", path)] == texts


def test_case_20_a_list_over_several_lines(cases: Path, shell: Shell, trained_model: Path) -> None:
    path = cases / "foreign_shapes" / "pretty.json"
    texts = [row["text"] for row in json.loads(path.read_text(encoding="utf-8"))]
    assert [record["text"] for record in _predicted(shell, trained_model, "--input", path)] == texts


# Files that are no lines of text, remedies that do not apply


def test_case_21_a_table_is_not_read_as_lines(cases: Path, shell: Shell, trained_model: Path) -> None:
    path = cases / "not_lines" / "notes.csv"
    code = shell(predict, trained_model, "--input", path, "--output", "out.jsonl", "--device", "cpu")
    header = path.read_text(encoding="utf-8").splitlines()[0]
    if code == 2:
        assert "--format" in shell.error
    else:
        records = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
        assert header not in [record["text"] for record in records] or "lines" in shell.err


def test_case_22_columns_without_tags(cases: Path, shell: Shell, trained_model: Path) -> None:
    path = cases / "remedies" / "tokens_only.conll"
    sentences = [" ".join(part.split()) for part in path.read_text(encoding="utf-8").strip().split("\n\n")]
    assert [record["text"] for record in _predicted(shell, trained_model, "--input", path)] == sentences


def test_case_23_a_corpus_without_a_test_split(cases: Path, shell: Shell) -> None:
    if shell.check_data(cases / "remedies" / "no_test", "flat") != 0:
        assert "Rename" not in shell.error


def test_case_24_the_line_with_the_blank_is_named(cases: Path, shell: Shell) -> None:
    folder = cases / "remedies" / "blank_in_first_row"
    if shell.check_data(folder, "flat") == 0:  # columns parted by tabs: the blank belongs to the word
        assert all(any(" " in word for _, word in found) for found in read(folder, "flat"))
    else:
        assert re.match(r"\S+train\.txt:1: ", shell.error)


def test_case_25_a_run_folder_in_place_of_its_model(trained_run: Path, shell: Shell, cases: Path) -> None:
    if shell(predict, trained_run, "--text", "Cold hands.", "--device", "cpu") != 0:
        assert "best" in shell.error and "Copy" not in shell.error


def test_case_26_the_right_key_is_named(shell: Shell, cases: Path) -> None:
    assert shell(train, "--check_data", "lr=1e-4") == 2
    assert "'optim.lr'" in shell.error


# Lines of .ann files, rows that annotators refused


def test_case_27_a_covered_text_over_two_lines(cases: Path, shell: Shell) -> None:
    folder = cases / "brat_lines" / "broken_text"
    assert shell(prepare, "brat", "--raw", folder, "--out", "out") == 0, shell.err
    assert "relation, event or attribute" not in shell.out


def test_case_28_rows_that_annotators_refused(cases: Path, shell: Shell) -> None:
    folder = cases / "rejected_rows"
    assert shell(prepare, "hf", "--raw", folder, "--out", "out", "--text", "text", "--spans", "spans") == 0, shell.err
    kept = [row for row in rows(folder) if row["answer"] == "accept"]
    expected = {(span["label"], row["text"][span["start"] : span["end"]]) for row in kept for span in row["spans"]}
    assert list(prepared(Path("out"), "nested")) == [expected] * 3
    assert "reject" in shell.out


# Names of written files, HTTP, the hub


def test_case_29_names_that_windows_takes(cases: Path, shell: Shell, trained_model: Path) -> None:
    arguments = ["--input", cases / "file_names" / "notes.txt", "--output", "out", "--to", "brat", "--device", "cpu"]
    assert shell(predict, trained_model, *arguments) == 0, shell.err
    names = [path.name for path in Path("out").rglob("*")]
    assert len(names) >= 4 and not [name for name in names if set(name) & set('<>:"\\|?*')]


def test_case_30_head_is_answered_like_get(ner: Recogniser, cases: Path) -> None:
    from starlette.testclient import TestClient

    from genner.serving.api import build_api
    from genner.serving.service import Service

    async def app(scope, receive, send) -> None:
        await build_api(Service(lambda: ner, "demo"))(scope, receive, send)

    client = TestClient(app)
    for path in ("/health", "/metrics"):
        assert client.head(path).status_code == client.get(path).status_code


def test_case_31_a_licence_that_the_hub_refuses(trained_run: Path, shell: Shell, cases: Path) -> None:
    code = shell(share, trained_run, "--to", "./out", "--license", "Apache 2.0")
    assert "apache-2.0" in (shell.error if code else shell.out + shell.err)


# Wanted formats


def test_case_32_comment_lines_in_columns(cases: Path, shell: Shell) -> None:
    folder = cases / "comments" / "multiconer"
    assert shell.check_data(folder, "flat") == 0, shell.err
    tagged = [line.split() for line in (folder / "train.conll").read_text().splitlines() if " B-" in line]
    assert list(read(folder, "flat")) == [{(fields[-1][2:], fields[0]) for fields in tagged}] * 3


def test_case_33_another_tag_scheme(cases: Path, shell: Shell) -> None:
    folder = cases / "schemes" / "bioes"
    assert shell.check_data(folder, "flat") == 0, shell.err
    pairs = [line.split() for line in (folder / "train.txt").read_text().splitlines() if line]
    (begin, end), (single,) = [[pair for pair in pairs if pair[1][0] in letters] for letters in ("BE", "S")]
    expected = {(begin[1][2:], f"{begin[0]} {end[0]}"), (single[1][2:], single[0])}
    assert list(read(folder, "flat")) == [expected] * 3
    assert "BIOES" in shell.out or " E-" in shell.out
