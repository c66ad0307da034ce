"""Tokenizers trained on the words of a corpus, for backbones that start from random weights."""

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
# segmentation of the same characters, and a word that merely looks like it would be read as the control piece.
_CONTROL_SCORE = -1.0e4
_CONTROL_CHARS = "</padsunk>"
# Padding, end, unknown and the mark of a word's beginning.
_N_SPECIALS = 4
# Of a piece that only ever was a step towards longer ones.
_UNSEEN_COUNT = 0.5


def train_byte_bpe(words: Iterable[Sequence[str]], vocab_size: int) -> PreTrainedTokenizerBase:
    """A byte-level BPE like BART's, trained on ``words``; deterministic.

    Args:
        words: sentences as word lists.
        vocab_size: upper limit of the vocabulary, specials and the 256 bytes included.

    Returns:
        a fast tokenizer; ``<s> 0, <pad> 1, </s> 2, <unk> 3, <mask> 4``.

    Raises:
        ConfigError: no word at all.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=_BPE_SPECIALS,
        # All bytes are known from the start, so that no word of any language is ever unknown.
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # The blank in front of every word is what the pipe will put there too.
    tokenizer.train_from_iterator((" " + " ".join(line) for line in _lines(words)), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return RobertaTokenizer(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]])


def train_unigram(words: Iterable[Sequence[str]], vocab_size: int) -> PreTrainedTokenizerBase:
    """A SentencePiece model like T5's, trained on ``words``; deterministic.

    T5 splits with a unigram table, which we fill with the pieces of a SentencePiece BPE and their frequencies. The
    unigram trainer itself looks for pieces in the list of different words, where a word that is no part of another is
    never found, however frequent: on the demo it split off a bare ``▁`` from every sixth word and needed 2.1 pieces a
    word instead of 1.2. A pointer to a word is fed back as its first piece, which should tell words apart.

    Args:
        words: sentences as word lists.
        vocab_size: upper limit of the vocabulary; a small corpus yields fewer pieces.

    Returns:
        a fast tokenizer without sentinel pieces; ``<pad> 0, </s> 1, <unk> 2``.

    Raises:
        ConfigError: no word at all, or more different characters than ``vocab_size`` holds.
    """
    lines = [" ".join(line) for line in _lines(words)]
    n_characters = len(set(_CONTROL_CHARS).union(chain.from_iterable(lines)))
    if n_characters + _N_SPECIALS > vocab_size:
        raise ConfigError(
            f"tokenizer: the corpus has {n_characters} different characters, too many for {vocab_size} pieces. "
            "Take a backbone whose tokenizer works on bytes (scratch:tiny, scratch:small) or a pretrained one."
        )
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=buffer,
        model_type="bpe",
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        # Words stay as they are written: the other rules could turn one word into two.
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
    """Lines of a bounded number of words, whatever the length of the sentences."""
    empty = True
    for sentence in words:
        for begin in range(0, len(sentence), _WORDS_PER_LINE):
            empty = False
            yield list(sentence[begin : begin + _WORDS_PER_LINE])
    if empty:
        raise ConfigError("tokenizer: no words to train on. Expected a corpus with at least one sentence.")
