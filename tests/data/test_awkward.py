"""The awkward files of the shared data: each behaves as the table of their README says."""

import re
from pathlib import Path

import pytest

from genner.data.loaders import LOADERS, LoaderOptions
from genner.errors import DataFormatError

KINDS = {"flat": "conll", "nested": "nested", "disc": "discontinuous"}
COUNTS = {"flat": 40, "nested": 34, "disc": 31}
# Valid for a loader: what is odd about them shows in the model's limits or between the splits only.
FOR_OTHERS = {
    "flat_long_sentence_450.txt",
    "flat_very_long_token.txt",
    "flat_unseen_type.txt",
    "disc_long_sentence_450.txt",
}

# Refused by the table, which allows to read them: sentences and mentions that are read and counted.
READ_ALL_THE_SAME = {
    "flat_bioes.txt": (1, 2), "flat_lower_case_tags.txt": (1, 1), "nested_json_array.jsonlines": (3, 4),
}  # fmt: skip
# Read as they are by the table; signs of no width at the edges of words are taken off and counted.
CLEANED = {
    "flat_bom_inside_token.txt",
    "flat_control_tokens.txt",
    "flat_emoji_zero_width.txt",
    "disc_emoji_zero_width.txt",
}

_ROW = re.compile(
    r"\| `(?P<file>(?P<kind>flat|nested|disc)_[^`]+)` \|.*\| (?P<verdict>READ|WARN|REJECT) \| (?P<counts>[^|]+)\|"
)


@pytest.fixture(scope="module")
def rows(shared_data: Path) -> list[re.Match[str]]:
    text = (shared_data / "awkward" / "README.md").read_text(encoding="utf-8").replace(r"\|", "")
    return [match for line in text.split("\n") if (match := _ROW.match(line))]


def problem_of(path: Path, row: re.Match[str]) -> str | None:
    """What differs from the README, or None."""
    try:
        examples, report = LOADERS[KINDS[row["kind"]]](path, LoaderOptions())
    except DataFormatError as error:
        if row["verdict"] != "REJECT":
            return f"refused: {error}"
        return None if re.match(re.escape(str(path)) + r":\d+: ", str(error)) else f"no file and line: {error}"
    if row["verdict"] == "REJECT" and row["file"] not in READ_ALL_THE_SAME:
        return "was read"
    n_sentences, n_mentions = len(examples), sum(len(example.entities) for example in examples)
    *_, sentences, mentions = ["0", "0", *re.findall(r"\d+", re.sub(r"\(.*\)|\d docs", "", row["counts"]))]
    if row["file"] == "nested_empty_sentence.jsonlines":
        sentences = "1"  # the README allows 2 as well
    sentences, mentions = READ_ALL_THE_SAME.get(row["file"], (sentences, mentions))
    if (n_sentences, n_mentions) != (int(sentences), int(mentions)):
        return f"{n_sentences} sentences, {n_mentions} mentions"
    if any(entity.end > len(example.words) for example in examples for entity in example.entities):
        return "an index past the sentence"
    should_warn = (row["verdict"] != "READ" and row["file"] not in FOR_OTHERS) or row["file"] in CLEANED
    should_warn &= row["file"] != "nested_json_array.jsonlines"  # a list is as good as lines
    if bool(report.counts) != should_warn:
        return f"report: {report.lines()}"
    return None


def test_every_file_is_in_the_table(rows, shared_data):
    files = {path.name for path in (shared_data / "awkward").iterdir()} - {"README.md"}
    assert len(files) == len(rows) == 105
    assert files == {row["file"] for row in rows}


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_behaves_as_described(kind, rows, shared_data):
    chosen = [row for row in rows if row["kind"] == kind]
    assert len(chosen) == COUNTS[kind]
    problems = {row["file"]: problem_of(shared_data / "awkward" / row["file"], row) for row in chosen}
    assert {name: problem for name, problem in problems.items() if problem} == {}


def test_words_that_the_readme_names(shared_data):
    def words(name):
        kind = KINDS[name.split("_")[0]]
        examples, _ = LOADERS[kind](shared_data / "awkward" / name, LoaderOptions())
        return [word for example in examples for word in example.words]

    assert words("flat_bom.txt")[0] == "Ada"
    assert words("flat_hash_token.txt") == ["#", "1", "in", "Turin"]
    assert len(words("flat_nbsp_in_token.txt")) == 4
    assert len(words("flat_line_separators.txt")) == 3
    assert len(words("flat_control_tokens.txt")) == 4
    assert len(words("flat_emoji_zero_width.txt")) == 5
    assert len(words("flat_special_lookalikes.txt")) == 7
    assert len(words("disc_bar_token.txt")) == 7
    assert len(words("disc_nbsp_in_token.txt")) == 6
    assert len(words("disc_emoji_zero_width.txt")) == 8
    assert words("nested_blank_in_token.jsonlines") == ["the", "R- inducible", "promoter"]
    assert words("nested_escaped_surrogates.jsonlines")[0] == "\U0001f600"
    for name in ("disc_unsorted_parts.txt", "disc_overlapping_parts.txt", "disc_adjacent_parts.txt"):
        (example,), _ = LOADERS["discontinuous"](shared_data / "awkward" / name, LoaderOptions())
        expected = {"disc_unsorted_parts.txt": [0, 2, 7, 8], "disc_overlapping_parts.txt": [0, 6]}.get(name, [5, 8])
        assert example.entities[0].flat == expected
