"""Tokenizers trained on a corpus."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from genner.errors import ConfigError
from genner.model.tokenizers import train_byte_bpe, train_unigram

TRAINERS = pytest.mark.parametrize("train", [train_byte_bpe, train_unigram])


@TRAINERS
def test_same_corpus_gives_the_same_tokenizer(train, sentences) -> None:
    first, second = train(sentences, 400), train(iter(sentences), 400)
    assert first.get_vocab() == second.get_vocab()
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()
    assert first.is_fast
    assert len(first) <= 400


@TRAINERS
def test_saved_and_loaded_it_is_the_same(train, sentences, tmp_path: Path) -> None:
    tokenizer = train(sentences, 400)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.is_fast
    for words in [*sentences[:20], ["Ünbekannt", "x-y", "½"]]:
        assert loaded(" ".join(words))["input_ids"] == tokenizer(" ".join(words))["input_ids"]


def test_byte_bpe_has_barts_layout(sentences) -> None:
    tokenizer = train_byte_bpe(sentences, 400)
    assert [tokenizer.convert_tokens_to_ids(t) for t in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")] == [0, 1, 2, 3, 4]
    assert tokenizer("")["input_ids"] == [0, 2]
    assert 3 not in tokenizer(" 細胞 ½ \u0007")["input_ids"], "every byte is known"
    common = " " + sentences[0][0]
    assert tokenizer.decode(tokenizer(common, add_special_tokens=False)["input_ids"]) == common


def test_byte_bpe_learns_whole_words_with_their_blank(sentences) -> None:
    tokenizer = train_byte_bpe([["merkal", "sontabel"] * 20], 400)
    assert len(tokenizer(" sontabel", add_special_tokens=False)["input_ids"]) == 1


def test_unigram_has_t5s_layout(sentences) -> None:
    tokenizer = train_unigram(sentences, 400)
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    assert tokenizer("")["input_ids"] == [1]
    assert 2 in tokenizer("細胞")["input_ids"]
    assert not any("extra_id" in piece for piece in tokenizer.get_vocab())


def test_unigram_learns_words_that_are_no_part_of_others() -> None:
    """A pointer is fed back as its word's first piece, which must tell words apart."""
    tokenizer = train_unigram([["merkal", ",", "sontabel", "."] * 20], 400)
    for word in ("merkal", ",", "sontabel", "."):
        assert tokenizer.tokenize(word) == ["▁" + word]


def test_unigram_with_as_many_characters_as_pieces() -> None:
    corpus = [[chr(0x4E00 + i) for i in range(30)]]
    n_characters = 30 + len(" </padsunk>")
    assert len(train_unigram(corpus, n_characters + 4)) == n_characters + 4
    with pytest.raises(ConfigError, match=f"{n_characters} distinct characters .* fewer than .*scratch:small"):
        train_unigram(corpus, n_characters + 3)


def test_words_that_look_like_control_pieces_stay_text(sentences) -> None:
    unigram, bpe = train_unigram(sentences, 400), train_byte_bpe(sentences, 400)
    for word in ("</s>", "<pad>", "<unk>"):
        for tokenizer in (unigram, bpe):
            ids = tokenizer(word, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            assert not set(ids) & {tokenizer.eos_token_id, tokenizer.pad_token_id}, word


@TRAINERS
def test_without_words_it_is_an_error(train) -> None:
    with pytest.raises(ConfigError, match="no words to train on"):
        train([[], []], 400)
