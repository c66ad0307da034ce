"""Sentences -> the fields of the pointer model."""

import logging
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from genner.data.alignment import WordTokenizer
from genner.data.codecs.pointer import PointerCodec, PointerVocab
from genner.data.pipe import PipeConfig, PointerPipe
from genner.data.schema import Entity, Example
from genner.errors import ConfigError, DataFormatError, SequenceTooLongError

UNITS = ("word", "span", "bpe", "span_bpe")


def entity(label: str, *offsets: int) -> Entity:
    return Entity.from_flat(label, list(offsets))


def example(text: str, *entities: Entity) -> Example:
    return Example(tuple(text.split(" ")), entities)


TRAIN = [
    example("sharp pain in the left knee and hip", entity("SIGN", 0, 2), entity("SIGN", 0, 6), entity("PART", 4, 6)),
    example("pain in knee and hip", entity("SIGN", 0, 2, 4, 5), entity("PART", 2, 3), entity("PART", 4, 5)),
    example("nothing of note"),
]
TEST = [example("the hip aches", entity("SIGN", 1, 3))]


def letters() -> PreTrainedTokenizerFast:
    """One piece per letter, so that a word of n letters has n pieces."""
    vocab = {text: idx for idx, text in enumerate(["<s>", "<pad>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyz"])}
    backend = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    each_letter = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("", "isolated")]
    backend.pre_tokenizer = pre_tokenizers.Sequence(each_letter)
    backend.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 0))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def make_pipe(unit: str = "word", *, compat: bool = False, **settings: object) -> PointerPipe:
    config = PipeConfig(**({"use_cache": False} | settings))
    codec = PointerCodec(PointerVocab(("PART", "SIGN")), unit, compat=compat)
    return PointerPipe(WordTokenizer(letters(), compat=compat), codec, config)


def columns_of(pipe: PointerPipe, examples: list[Example]) -> dict[str, list]:
    """The encoded rows of a training split, column by column."""
    rows = list(pipe.encode_splits({"train": examples})["train"])
    return {name: [row[name] for row in rows] for name in rows[0]}


def entities_of(pipe: PointerPipe, rows: dict[str, list], row: int) -> list[Entity]:
    return list(pipe.codec.decode(rows["tgt_tokens"][row], rows["bounds"][row]).entities)


def test_fields() -> None:
    encoded = make_pipe("word").encode_splits({"train": TRAIN, "test": TEST})["test"]
    test = encoded[0]
    assert test["src_tokens"] == [0, *(4 + ord(letter) - ord("a") for letter in "thehipaches"), 2]
    assert test["bounds"] == [1, 4, 7, 12]
    assert test["first"] == [1, 4, 7]
    assert test["tgt_tokens"] == [0, 4 + 4, 4 + 7, 3, 1]
    assert (test["src_seq_len"], test["tgt_seq_len"]) == (13, 5)
    assert (test["example_idx"], test["word_offset"]) == (0, 0)
    assert (encoded.lengths.tolist(), encoded.target_lengths.tolist()) == ([13], [5])
    assert encoded[-1] == test


def test_first_is_every_position_in_compat() -> None:
    encoded = make_pipe(compat=True).encode_splits({"test": TEST})["test"]
    assert encoded[0]["first"] == list(range(13))


@pytest.mark.parametrize("unit", UNITS)
def test_report(unit: str) -> None:
    pipe = make_pipe(unit)
    pipe.encode_splits({"train": TRAIN, "test": TEST})
    report = pipe.reports["train"]
    assert report.counts == {"sentences": 3, "words": 16, "entities": 6, "rows": 3}
    assert report.oracle_f == 100.0
    assert report.longest_source == 2 + len("sharppainintheleftkneeandhip")
    assert report.cache == "off"


def test_oracle_counts_what_the_target_cannot_hold() -> None:
    """In compat, segments that touch read back as one where the unit is the word."""
    touching = [Example(("a", "b", "c"), (entity("SIGN", 0, 1, 1, 2), entity("PART", 2, 3)))]
    pipe = make_pipe("word", compat=True)
    pipe.encode_splits({"train": touching})
    assert pipe.reports["train"].oracle_f == 50.0
    assert pipe.reports["train"].counts["oracle_missed"] == 1
    assert pipe.reports["train"].counts["oracle_wrong"] == 1


def test_unknown_words_and_lookalikes_are_counted_per_split() -> None:
    odd = [example("a \u3000 b"), example("</s> <s> \u3000")]
    pipe = make_pipe()
    pipe.encode(odd, "dev")
    processed, report = pipe.encode(odd, "test")
    assert (report.counts["unknown_words"], report.counts["lookalikes"]) == (2, 2)
    assert processed.src_tokens[0] == [0, 4, 3, 5, 2]


def test_too_long_is_an_error_that_names_the_sentence() -> None:
    match = r"train, sentence 1: 30 pieces and 14 decoder inputs. Expected at most 20 pieces. Set data.on_too_long"
    with pytest.raises(SequenceTooLongError, match=match):
        make_pipe(max_pieces=20).encode_splits({"train": TRAIN})
    with pytest.raises(SequenceTooLongError, match=r"Expected at most 5 decoder inputs"):
        make_pipe(max_symbols=5).encode_splits({"train": TRAIN})


def test_drop() -> None:
    pipe = make_pipe(on_too_long="drop", max_pieces=20)
    rows = columns_of(pipe, TRAIN)
    assert rows["example_idx"] == [1, 2]
    assert [len(bounds) - 1 for bounds in rows["bounds"]] == [5, 3]
    report = pipe.reports["train"]
    assert (report.counts["dropped_sentences"], report.counts["dropped_entities"]) == (1, 3)
    assert report.oracle_f == pytest.approx(100 * 2 * 3 / (2 * 3 + 3))


def test_nothing_left() -> None:
    with pytest.raises(SequenceTooLongError, match=r"train: all 3 sentences are too long .* within 4 pieces"):
        make_pipe(on_too_long="drop", max_pieces=4).encode_splits({"train": TRAIN})


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("limits", [{"max_pieces": 24}, {"max_pieces": 24, "max_symbols": 70}])
def test_split(unit: str, limits: dict[str, int]) -> None:
    pipe = make_pipe(unit, on_too_long="split", **limits)
    rows = columns_of(pipe, TRAIN)
    assert rows["example_idx"] == [0, 0, 1, 2]
    assert rows["word_offset"] == [0, 6, 0, 0]
    assert [len(bounds) - 1 for bounds in rows["bounds"][:2]] == [6, 2]
    assert [entity.flat for entity in entities_of(pipe, rows, 0)] == [[0, 2], [0, 6], [4, 6]]
    assert [entity.label for entity in entities_of(pipe, rows, 0)] == ["SIGN", "SIGN", "PART"]
    assert entities_of(pipe, rows, 1) == []
    assert rows["src_seq_len"][:2] == [24, 8]
    report = pipe.reports["train"]
    assert report.counts["split_sentences"] == 1
    assert report.oracle_f == 100.0


def test_parts_with_their_entities_and_offsets() -> None:
    long = [example("aa bb cc dd ee ff", entity("PART", 0, 1), entity("SIGN", 2, 3, 4, 5), entity("PART", 5, 6))]
    pipe = make_pipe("span", on_too_long="split", max_pieces=8)
    rows = columns_of(pipe, long)
    assert rows["word_offset"] == [0, 2, 5]
    spans = [[entity.flat for entity in entities_of(pipe, rows, row)] for row in range(3)]
    assert spans == [[[0, 1]], [[0, 1, 2, 3]], [[0, 1]]]
    assert rows["bounds"] == [[1, 3, 5], [1, 3, 5, 7], [1, 3]]
    assert rows["tgt_tokens"][1] == [0, 4 + 1, 4 + 2, 4 + 5, 4 + 6, 3, 1]
    assert pipe.reports["train"].oracle_f == 100.0


def test_symbols_alone_can_be_too_many() -> None:
    long = [example("a b c d", *(entity("PART", idx, idx + 1) for idx in range(4)))]
    pipe = make_pipe("span", on_too_long="split", max_symbols=7)
    assert columns_of(pipe, long)["tgt_seq_len"] == [8, 8]


def test_split_drops_what_cannot_be_cut_and_says_so() -> None:
    whole = example("abcdef ghijkl", entity("SIGN", 0, 2))
    pipe = make_pipe(on_too_long="split", max_pieces=10)
    sentences = [whole, example("abcdefghijkl"), TRAIN[2], TEST[0]]
    rows = columns_of(pipe, sentences)
    assert rows["example_idx"] == [2, 2, 3, 3]
    counts = pipe.reports["train"].counts
    assert (counts["dropped_sentences"], counts["dropped_entities"], counts["split_sentences"]) == (2, 1, 2)


def test_errors_name_the_place() -> None:
    unknown = [TRAIN[2], example("the hip aches", entity("DRUG", 0, 1))]
    with pytest.raises(DataFormatError, match=r"dev, sentence 2: label 'DRUG': not in the label set"):
        make_pipe().encode_splits({"dev": unknown})
    with pytest.raises(ConfigError, match=r"data.on_too_long: 'cut'. Expected one of \['error', 'split', 'drop'\]"):
        PipeConfig(on_too_long="cut")


CACHED = {"on_too_long": "split", "max_pieces": 24, "use_cache": True}


def cached(tmp_path: Path, unit: str = "word", **settings: object) -> PointerPipe:
    return make_pipe(unit, cache_dir=tmp_path / "caches", **(CACHED | settings))


def test_cache_gives_the_same_fields_and_report(tmp_path: Path) -> None:
    splits = {"train": TRAIN, "test": TEST}
    first, again = cached(tmp_path), cached(tmp_path)
    assert list(first.encode_splits(splits)["train"]) == list(again.encode_splits(splits)["train"])
    assert (first.reports["train"].cache, again.reports["train"].cache) == ("miss", "hit")
    again.reports["train"].cache = "miss"
    assert again.reports["train"] == first.reports["train"]
    assert len(list((tmp_path / "caches").iterdir())) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"unit": "span"},
        {"max_pieces": 25},
        {"max_symbols": 99},
        {"on_too_long": "drop"},
        {"compat": True},
    ],
    ids=str,
)
def test_other_settings_are_a_miss(tmp_path: Path, other: dict) -> None:
    cached(tmp_path).encode_splits({"test": TEST})
    pipe = cached(tmp_path, **other)
    pipe.encode_splits({"test": TEST})
    assert pipe.reports["test"].cache == "miss"


def test_other_data_is_a_miss(tmp_path: Path) -> None:
    cached(tmp_path).encode_splits({"test": TEST})
    for entities in [(), (entity("PART", 1, 3),), (entity("SIGN", 1, 2),)]:
        pipe = cached(tmp_path)
        pipe.encode_splits({"test": [example("the hip aches", *entities)]})
        assert pipe.reports["test"].cache == "miss"


@pytest.mark.parametrize("content", [b"", b"\x80\x04.", b"\x10\0\0\0\0\0\0\0{}"])
def test_a_damaged_cache_is_rebuilt_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    fresh = columns_of(cached(tmp_path), TRAIN)
    (file,) = (tmp_path / "caches").iterdir()
    file.write_bytes(content)
    pipe = cached(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert columns_of(pipe, TRAIN) == fresh
    assert pipe.reports["train"].cache == "damaged: rebuilt"
    assert "it is rebuilt" in caplog.text
    pipe.encode_splits({"train": TRAIN})
    assert pipe.reports["train"].cache == "hit"
