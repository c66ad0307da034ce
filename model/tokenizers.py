"""Tokenizers trained on the words of a corpus, for backbones with random weights."""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import sentencepiece
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, RobertaTokenizer, T5Tokenizer

from genner.errors import ConfigError

__all__ = ["train_byte_bpe", "train_unigram"]

# BART's order, so that <s> is 0, <pad> 1 and </s> 2 as in its checkpoints.
_BPE_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_WORDS_PER_LINE = 64
# A control piece such as </s> is an ordinary entry of the unigram table. With its usual score of 0 it beats every other
# segmentation of the same characters, and a word that looks like it would become the control piece.
_CONTROL_SCORE = -1.0e4
_CONTROL_CHARS = "</padsunk>"
# Padding, end, unknown and the word-start marker.
_N_SPECIALS = 4
# Of a piece that was only ever an intermediate step towards longer ones.
_UNSEEN_COUNT = 0.5


def train_byte_bpe(words: Iterable[Sequence[str]], vocab_size: int) -> PreTrainedTokenizerBase:
    """A byte-level BPE like BART's, trained on ``words``; deterministic.

    Args:
        words: sentences as word lists.
        vocab_size: upper limit of the vocabulary, specials and the 256 bytes included.

    Returns:
        a fast tokenizer; ``<s> 0, <pad> 1, </s> 2, <unk> 3, <mask> 4``.

    Raises:
        ConfigError: there are no words.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=_BPE_SPECIALS,
        # The alphabet holds all bytes, so that no word of any language is unknown.
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # The pipe adds the same blank before every word.
    tokenizer.train_from_iterator((" " + " ".join(line) for line in _lines(words)), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return RobertaTokenizer(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]])


def train_unigram(words: Iterable[Sequence[str]], vocab_size: int) -> PreTrainedTokenizerBase:
    """A SentencePiece model like T5's, trained on ``words``; deterministic.

    T5 uses a unigram table, which we fill with the pieces of a SentencePiece BPE and their frequencies. The unigram
    trainer itself takes candidates from the list of distinct words, where a word that is not part of another one is
    never found, however frequent: on the demo it split off a bare ``▁`` from every sixth word and needed 2.1 pieces
    per word instead of 1.2. A pointer to a word is fed back as its first piece, which should distinguish words.

    Args:
        words: sentences as word lists.
        vocab_size: upper limit of the vocabulary; a small corpus yields fewer pieces.

    Returns:
        a fast tokenizer without sentinel pieces; ``<pad> 0, </s> 1, <unk> 2``.

    Raises:
        ConfigError: there are no words, or more distinct characters than ``vocab_size``.
    """
    lines = [" ".join(line) for line in _lines(words)]
    n_characters = len(set(_CONTROL_CHARS).union(chain.from_iterable(lines)))
    if n_characters + _N_SPECIALS > vocab_size:
        raise ConfigError(
            f"tokenizer: {n_characters} distinct characters in the corpus. Expected fewer than {vocab_size} pieces. "
            "Use a backbone whose tokenizer works on bytes (scratch:tiny, scratch:small) or a pretrained one."
        )
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=buffer,
        model_type="bpe",
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        # Words are not normalised: the usual rules could split a word in two.
        normalization_rule_name="identity",
        required_chars=_CONTROL_CHARS,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,
        max_sentence_length=1 << 20,
        minloglevel=2,
    )
    trained = sentencepiece.SentencePieceProcessor(model_proto=buffer.getvalue())
    counts = Counter(chain.from_iterable(trained.encode(lines)))
    total = counts.total()
    table = [
        (
            trained.id_to_piece(i),
            _CONTROL_SCORE if trained.is_control(i) else math.log(max(counts[i], _UNSEEN_COUNT) / total),
        )
        for i in range(trained.get_piece_size())
    ]
    return T5Tokenizer(vocab=table, extra_ids=0)


def _lines(words: Iterable[Sequence[str]]) -> Iterator[list[str]]:
    """Lines with a bounded number of words, whatever the length of the sentences."""
    empty = True
    for sentence in words:
        for start in range(0, len(sentence), _WORDS_PER_LINE):
            empty = False
            yield list(sentence[start : start + _WORDS_PER_LINE])
    if empty:
        raise ConfigError("tokenizer: no words to train on. Expected a corpus with at least one sentence. Add one.")
