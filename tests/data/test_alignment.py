"""Words -> pieces for the three families of tokenizers."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from genner.data.alignment import WordAlignment, WordTokenizer, label_token_ids
from genner.errors import ConfigError, MissingBackendError

TEXT = [
    "the old miller of Brandel sold nine sacks of rye to the baker",
    "a swollen left knee and a stiff right shoulder were noted on Monday",
    "Vera and Tomas walked from Brandel to the harbour on the old road",
] * 5
SPECIALS = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>"}


def byte_level() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(TEXT, trainer)
    backend.add_special_tokens([AddedToken("<mask>")])
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **SPECIALS)


def unigram() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("\u00ad", "")])
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=70, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(TEXT, trainer)
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", extra_special_tokens=["<x_0>"]
    )


def word_piece() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=False)
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    backend.train_from_iterator(
        [*TEXT, "[ P A D ] ["], trainers.WordPieceTrainer(vocab_size=120, special_tokens=specials, show_progress=False)
    )
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


FAMILIES = {"byte_level": byte_level, "unigram": unigram, "word_piece": word_piece}
ROOT = Path(__file__).parents[2]
WORDS = ["the", "Brandel", "knee", "Brandel", "shoulderblade", "a"]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


def align(aligner: WordTokenizer, words: list[str]) -> WordAlignment:
    return WordAlignment(*(column[0] for column in aligner.align_columns([words])))


def pieces_of(aligner: WordTokenizer, word: str) -> list[int]:
    alignment = align(aligner, ["the", word, "knee"])
    return alignment.piece_ids[alignment.bounds[1] : alignment.bounds[2]]


def test_every_word_has_the_pieces_it_has_alone(family: str) -> None:
    tokenizer = FAMILIES[family]()
    aligner = WordTokenizer(tokenizer)
    alignment = align(aligner, WORDS)
    assert len(alignment.bounds) == len(WORDS) + 1
    assert alignment.bounds[0] == aligner.lead
    assert alignment.bounds[-1] + aligner.tail == len(alignment.piece_ids)
    for idx, word in enumerate(WORDS):
        text = f" {word}" if family == "byte_level" else word
        expected = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert alignment.piece_ids[alignment.bounds[idx] : alignment.bounds[idx + 1]] == expected
    assert max(right - left for left, right in pairwise(alignment.bounds)) > 1


def test_special_pieces_stand_around_the_words() -> None:
    shapes = {name: WordTokenizer(make()) for name, make in FAMILIES.items()}
    assert {name: (a.lead, a.tail, a.pad_id) for name, a in shapes.items()} == {
        "byte_level": (1, 1, 1),
        "unigram": (0, 1, 0),
        "word_piece": (1, 1, 0),
    }
    assert align(shapes["unigram"], ["knee"]).piece_ids[-1] == 1
    assert shapes["word_piece"].enclose([7]) == [2, 7, 3]


def test_specials_in_the_text_are_plain_text(family: str) -> None:
    tokenizer = FAMILIES[family]()
    aligner = WordTokenizer(tokenizer)
    lookalikes = [*tokenizer.all_special_tokens, *(f"a{special}b" for special in tokenizer.all_special_tokens)]
    # WordPiece reads a word that it cannot put together as the unknown piece, which is what it is for.
    harmless = {tokenizer.unk_token_id} if family != "byte_level" else set()
    for word in lookalikes:
        pieces = pieces_of(aligner, word)
        assert pieces
        assert not set(pieces) & (set(tokenizer.all_special_ids) - harmless), word
    assert aligner.n_lookalikes == len(lookalikes)
    assert aligner.n_unknown_words == 0


def test_words_without_pieces_become_the_unknown_piece_and_are_counted(family: str) -> None:
    tokenizer = FAMILIES[family]()
    aligner = WordTokenizer(tokenizer)
    for word in ("", " ", "\u3000", "\t"):
        assert pieces_of(aligner, word) == [tokenizer.unk_token_id]
    assert aligner.n_unknown_words == 4
    align(aligner, [" ", "knee", " "])
    assert aligner.n_unknown_words == 6


def test_no_word_is_without_pieces_whatever_it_is_made_of(family: str) -> None:
    aligner = WordTokenizer(FAMILIES[family]())
    odd = ["\u200b", "\u0096", "\u00ad", "\ufeff", "\x00", "\u200e", "\U0001f600", "R- x", " x", "x ", "\ud800", "İ"]
    bounds = align(aligner, odd).bounds
    assert all(left < right for left, right in pairwise(bounds))


def test_the_given_tokenizer_is_not_changed(family: str) -> None:
    tokenizer = FAMILIES[family]()
    before = tokenizer.backend_tokenizer.to_str()
    align(WordTokenizer(tokenizer, compat=True, label_words=["person"]), ["<<person>>", "knee"])
    align(WordTokenizer(tokenizer), ["<s>", "knee"])
    assert tokenizer.backend_tokenizer.to_str() == before
    assert not tokenizer.backend_tokenizer.encode_special_tokens


def test_padding_and_truncation_of_the_given_tokenizer_do_not_matter(family: str) -> None:
    tokenizer = FAMILIES[family]()
    expected = align(WordTokenizer(tokenizer), WORDS)
    tokenizer.backend_tokenizer.enable_truncation(2)
    tokenizer.backend_tokenizer.enable_padding(length=40)
    assert align(WordTokenizer(tokenizer), WORDS) == expected


def test_ids_stay_when_specials_lie_between_added_words(family: str) -> None:
    tokenizer = FAMILIES[family]()
    tokenizer.add_tokens(["qqqone"])
    tokenizer.add_special_tokens({"extra_special_tokens": ["<extra>"]})
    tokenizer.add_tokens(["qqqtwo"])
    ids = tokenizer.convert_tokens_to_ids(["qqqone", "qqqtwo"])
    aligner = WordTokenizer(tokenizer)
    assert [pieces_of(aligner, word)[-1] for word in ("qqqone", "qqqtwo")] == ids


def test_sentences_come_in_order() -> None:
    aligner = WordTokenizer(byte_level())
    expected = [number % 7 for number in range(9000)]
    _, bounds = aligner.align_columns([["knee"] * length for length in expected])
    assert [len(row) - 1 for row in bounds] == expected
    assert list(map(list, aligner.align_columns([]))) == [[], []]
    assert align(aligner, []).piece_ids == [0, 2]


def test_compat_cuts_specials_out_and_leaves_white_space_without_pieces() -> None:
    tokenizer = byte_level()
    n_base = len(tokenizer)
    aligner = WordTokenizer(tokenizer, compat=True, label_words=["loc", "person"])
    assert pieces_of(aligner, " ") == []
    assert aligner.n_unknown_words == 1
    assert pieces_of(aligner, "<<person>>") == [n_base]
    assert pieces_of(aligner, "<<loc>>") == [n_base + 1]
    assert pieces_of(aligner, "<mask>") == [tokenizer.mask_token_id]
    blank = tokenizer(" ", add_special_tokens=False)["input_ids"]
    assert pieces_of(aligner, "</s>") == [*blank, tokenizer.eos_token_id]


def test_label_tokens_that_the_tokenizer_has_already() -> None:
    fresh, saved = byte_level(), byte_level()
    saved.add_tokens(["<<person>>", "<<loc>>"])
    settings = {"compat": True, "label_words": ["loc", "person"]}
    words = ["a<<loc>>", "<<person>>", "knee"]
    assert align(WordTokenizer(saved, **settings), words) == align(WordTokenizer(fresh, **settings), words)
    default = WordTokenizer(saved, label_words=["loc", "person"])
    assert align(default, words) == align(WordTokenizer(fresh), words)
    assert default.n_lookalikes == 2


def test_fingerprint_tells_what_changes_pieces() -> None:
    prints = [
        WordTokenizer(byte_level()).fingerprint,
        WordTokenizer(byte_level(), compat=True).fingerprint,
        WordTokenizer(byte_level(), compat=True, label_words=["person"]).fingerprint,
        WordTokenizer(unigram()).fingerprint,
    ]
    assert len(set(prints)) == 4
    assert WordTokenizer(byte_level()).fingerprint == prints[0]


def test_fingerprint_is_the_same_in_another_process(tmp_path: Path) -> None:
    """Strings have other hashes there: what a set gives first must not matter, or no cache is ever found again."""
    byte_level().save_pretrained(tmp_path)
    code = (
        "import sys; from transformers import AutoTokenizer; from genner.data.alignment import WordTokenizer; "
        "print(WordTokenizer(AutoTokenizer.from_pretrained(sys.argv[1])).fingerprint)"
    )
    found = set()
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", code, str(tmp_path)]
        ended = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        found.add(ended.stdout)
    assert len(found) == 1


def test_slow_tokenizers_are_refused() -> None:
    with pytest.raises(MissingBackendError, match=r"tokenizer: str has no fast .* Expected a fast tokenizer"):
        WordTokenizer("no tokenizer")


def test_label_ids() -> None:
    words = ["loc", "person", "org", "others"]
    assert label_token_ids(10, words, compat=False) == [10, 11, 12, 13]
    assert label_token_ids(10, words, compat=True) == [12, 10, 13, 11]
    with pytest.raises(ConfigError, match=r"two labels have the same words .* Change one"):
        label_token_ids(10, ["a", "a"], compat=True)
