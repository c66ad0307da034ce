"""Words -> pieces: words are tokenised one by one, each distinct word only once."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

from genner.data.columns import Ragged, RaggedBuilder
from genner.errors import ConfigError, MissingBackendError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["CHUNK", "WordAlignment", "WordTokenizer", "label_token", "label_token_ids"]

#: Sentences aligned at a time.
CHUNK = 4096
_GROUP = 64  # words per call of the library: faster than one call per word
# A noncharacter before the name of a special piece: text never contains it, so text never becomes that piece.
_HIDDEN = "\U0010fffe"


@dataclass(frozen=True, slots=True)
class WordAlignment:
    """Pieces of a sentence of W words.

    Attributes:
        piece_ids: (S,) with the special pieces around them.
        bounds: (W + 1,) word w has the pieces ``bounds[w] .. bounds[w + 1] - 1`` of ``piece_ids``.
    """

    piece_ids: list[int]
    bounds: list[int]


class WordTokenizer:
    """Tokenises pre-split sentences word by word with a copy of a Hugging Face fast tokenizer.

    A byte-level tokenizer gets one blank before the word unless the word starts with white space; others
    (SentencePiece, WordPiece) get the word alone. Words that look like special pieces are plain text, and a word
    without pieces becomes the unknown piece. With ``compat``, special pieces are cut out of words, label tokens are
    known and strip the blanks around them, ``<mask>`` strips the one before it, and words of white space have no
    pieces.

    Args:
        tokenizer: a fast tokenizer of transformers.
        compat: tokenise as the reference does.
        label_words: natural words of the labels in label order; their tokens may be in the tokenizer already.
        max_remembered: number of words whose pieces are cached; keep it small in a long-running predictor, as new words
            cost a pass over the cache.

    Attributes:
        lead, tail: number of special pieces before and after a sentence's words.
        pad_id, unknown_id: pieces for padding and for words without pieces.
        fingerprint: digest of everything that affects pieces.
        n_unknown_words: words (occurrences) so far that became the unknown piece; compat: that have no piece.
        n_lookalikes: words (occurrences) so far that contain the text of a special piece or of a label token.

    Raises:
        MissingBackendError: the tokenizer is not a fast one.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        compat: bool = False,
        label_words: Sequence[str] = (),
        max_remembered: int = 1_000_000,
    ) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise MissingBackendError(
                f"tokenizer: {type(tokenizer).__name__} has no fast (Rust) backend. Expected a fast tokenizer. "
                "Convert it and save its tokenizer.json."
            )
        self.compat, self._max_remembered = compat, max_remembered
        label_tokens = [label_token(words) for words in label_words]
        settings = json.loads(backend.to_str())
        specials = _special_texts(tokenizer, settings)
        settings |= {"truncation": None, "padding": None}
        if compat:
            known = {token["content"] for token in settings["added_tokens"]} & set(label_tokens)
            _know_labels(settings, label_tokens, label_token_ids(len(tokenizer) - len(known), label_words, compat=True))
        else:
            _hide(settings, [*specials, *label_tokens])
        text = json.dumps(settings, ensure_ascii=False)
        self._tokenizer = Tokenizer.from_str(text)
        self._byte_level = "ByteLevel" in json.dumps([settings["pre_tokenizer"], settings["normalizer"]])
        self._lookalike = re.compile("|".join(map(re.escape, [*specials, *label_tokens])) or "(?!)")
        self._before, self._after = self._surrounding()
        self.lead, self.tail = len(self._before), len(self._after)
        self.pad_id: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        self.unknown_id: int = self._unknown(tokenizer)
        shape = f"{text}\n{self._before}{self._after}{self.unknown_id}{compat}"
        self.fingerprint = hashlib.sha256(shape.encode("utf-8", "surrogatepass")).hexdigest()
        self._forget()
        self.n_unknown_words = 0
        self.n_lookalikes = 0

    def align_columns(self, sentences: Sequence[Sequence[str]]) -> tuple[Ragged, Ragged]:
        """Pieces and word bounds of every sentence as columns: the rows of :class:`WordAlignment`."""
        self._learn(set(chain.from_iterable(sentences)))
        n_words = np.fromiter(map(len, sentences), dtype=np.int64, count=len(sentences))
        words = chain.from_iterable(sentences)
        numbers = np.fromiter(map(self._numbers.__getitem__, words), dtype=np.int64, count=int(n_words.sum()))
        table, is_unknown, is_lookalike = self._table
        self.n_unknown_words += int(is_unknown[numbers].sum())
        self.n_lookalikes += int(is_lookalike[numbers].sum())
        n_pieces = table.lens[numbers]
        # Bounds are cumulative sums: ``lead``, then the number of pieces of every word.
        rows = _offsets(n_words + 1)
        is_word = np.ones(rows[-1], dtype=bool)
        is_word[rows[:-1]] = False
        steps = np.full(rows[-1], self.lead, dtype=np.int64)
        steps[is_word] = n_pieces
        total = steps.cumsum()
        bounds = total - np.repeat(total[rows[:-1]] - self.lead, n_words + 1)
        # Special pieces go to both ends of every row, the pieces of a word before its end bound.
        offsets = _offsets(bounds[rows[1:] - 1] + self.tail)
        src = np.empty(offsets[-1], dtype=np.int32)
        for idx, piece_id in enumerate(self._before):
            src[offsets[:-1] + idx] = piece_id
        for idx, piece_id in enumerate(self._after):
            src[offsets[1:] - self.tail + idx] = piece_id
        ends = (bounds + np.repeat(offsets[:-1], n_words + 1))[is_word]
        src[_ranges(ends - n_pieces, n_pieces)] = table.values[_ranges(table.offsets[numbers], n_pieces)]
        return Ragged(src, offsets), Ragged(bounds.astype(np.int32), rows)

    def enclose(self, piece_ids: Sequence[int]) -> list[int]:
        """Add the special pieces around the pieces of some words."""
        return [*self._before, *piece_ids, *self._after]

    def _learn(self, words: set[str]) -> None:
        """Tokenise the words that are not cached yet."""
        if len(self._numbers) > self._max_remembered:
            self._forget()
        new = list(words.difference(self._numbers))
        if not new:
            return
        pieces = self._tokenise(new)
        is_unknown = (pieces.lens == 0) | np.fromiter((not word.strip() for word in new), dtype=bool, count=len(new))
        if is_unknown.any():
            instead = [] if self.compat else [self.unknown_id]
            pieces = Ragged.of(instead if unknown else row for row, unknown in zip(pieces, is_unknown, strict=True))
        self._numbers.update(zip(new, range(len(self._numbers), len(self._numbers) + len(new)), strict=True))
        self._known.extend(pieces)
        self._odd[0].extend(is_unknown.tobytes())
        self._odd[1].extend(self._look_alike(new))
        self._table = self._known.build(), *(np.array(flags, dtype=bool) for flags in self._odd)

    def _tokenise(self, words: Sequence[str]) -> Ragged:
        """The library's pieces of each word; it tokenises the words of a group one by one."""
        texts = [f" {word}" if self._byte_level and not word[:1].isspace() else word for word in map(_writable, words)]
        starts = range(0, len(texts), _GROUP)
        groups = [texts[start : start + _GROUP] for start in starts]
        # Not the "fast" variant, which does not separate the words of a group.
        encodings = self._tokenizer.encode_batch(groups, is_pretokenized=True, add_special_tokens=False)
        piece_ids = np.concatenate([np.array(encoding.ids, dtype=np.int32) for encoding in encodings])
        numbers = [np.array(encoding.word_ids, dtype=np.int64) for encoding in encodings]  # within the group
        for start, within in zip(starts, numbers, strict=True):
            within += start
        return Ragged(piece_ids, _offsets(np.bincount(np.concatenate(numbers), minlength=len(words))))

    def _look_alike(self, words: Sequence[str]) -> Iterable[bool]:
        """Whether each word contains the text of a special piece or of a label token."""
        search = self._lookalike.search
        if not search("\n".join(words)):  # hardly any text does
            return [False] * len(words)
        return [search(word) is not None for word in words]

    def _forget(self) -> None:
        self._numbers: dict[str, int] = {}
        self._known, self._odd = RaggedBuilder(), (bytearray(), bytearray())
        nothing = np.zeros(0, dtype=bool)
        self._table = self._known.build(), nothing, nothing

    def _surrounding(self) -> tuple[list[int], list[int]]:
        """Special pieces that the tokenizer adds before and after a text."""
        encoding = self._tokenizer.encode("a", add_special_tokens=True)
        ids, inner = encoding.ids, encoding.special_tokens_mask.index(0)
        n_inner = encoding.special_tokens_mask.count(0)
        return ids[:inner], ids[inner + n_inner :]

    def _unknown(self, tokenizer: PreTrainedTokenizerBase) -> int:
        """The unknown piece; a question mark for byte-level tokenizers, which have none."""
        if tokenizer.unk_token_id is not None:
            return tokenizer.unk_token_id
        return self._tokenizer.encode("?", add_special_tokens=False).ids[0]


def label_token(words: str) -> str:
    """The token that stands for a label in the backbone's vocabulary.

    >>> label_token("cell_line")
    '<<cell_line>>'
    """
    return f"<<{words}>>"


def label_token_ids(n_base: int, words: Sequence[str], compat: bool) -> list[int]:
    """Rows of the shared embedding that belong to the labels, in label order.

    Args:
        n_base: rows of the checkpoint's vocabulary, ``len(tokenizer)`` before anything is added.
        words: natural words of each label, in label order.
        compat: number the tokens as the reference does: longest first, ties in label order.

    >>> label_token_ids(1500, ["location", "person", "organization", "others"], compat=True)
    [1501, 1502, 1500, 1503]
    """
    if not compat:
        return list(range(n_base, n_base + len(words)))
    if len(set(words)) != len(words):
        raise ConfigError(
            f"labels: two labels have the same words in {list(words)}. Expected different words for every label "
            "with compat: reference, where a label is a token. Change one of them, or drop compat."
        )
    by_length = sorted(range(len(words)), key=lambda label_idx: -len(words[label_idx]))
    ids = [0] * len(words)
    for rank, label_idx in enumerate(by_length):
        ids[label_idx] = n_base + rank
    return ids


def _offsets(lens: np.ndarray) -> np.ndarray:
    """Start of each row, and end of the last one."""
    return np.concatenate((np.zeros(1, dtype=np.int64), lens.cumsum()))


def _ranges(starts: np.ndarray, lens: np.ndarray) -> np.ndarray:
    """``starts[i], starts[i] + 1, ...``, ``lens[i]`` of them, for every i, concatenated."""
    ends = lens.cumsum()
    return np.arange(lens.sum()) + np.repeat(starts - (ends - lens), lens)


def _writable(word: str) -> str:
    """The word with ``?`` for lone surrogates, which UTF-8 and thus the tokenizer cannot represent."""
    return word if word.isascii() else word.encode("utf-8", "replace").decode("utf-8")


def _special_texts(tokenizer: PreTrainedTokenizerBase, settings: dict[str, Any]) -> list[str]:
    """Texts of the special pieces, longest first so that a pattern of them matches the longest."""
    added = {token["content"] for token in settings["added_tokens"] if token["special"]}
    return sorted(added | set(tokenizer.all_special_tokens), key=lambda text: (-len(text), text))


def _hide(settings: dict[str, Any], texts: Iterable[str]) -> None:
    """Rename special pieces and label tokens so that no text becomes one of them; ids are unchanged.

    The library's option to ignore special tokens is not enough: a Unigram vocabulary holds them as pieces with the
    best possible score, and a WordPiece or whole-word vocabulary finds them as words.
    """
    model = settings["model"]
    merges = model.get("merges") or ()
    merged = {"".join(merge) if isinstance(merge, list) else merge.replace(" ", "", 1) for merge in merges}
    hidden = {text: _HIDDEN + text for text in texts if text not in merged}
    for token in settings["added_tokens"]:
        token["content"] = hidden.get(token["content"], token["content"])
    if isinstance(model["vocab"], dict):
        for text in filter(model["vocab"].__contains__, hidden):  # in a fixed order, for the fingerprint
            model["vocab"][hidden[text]] = model["vocab"].pop(text)
    else:
        model["vocab"] = [[hidden.get(text, text), score] for text, score in model["vocab"]]
    if model.get("unk_token") is not None:
        model["unk_token"] = hidden.get(model["unk_token"], model["unk_token"])


def _know_labels(settings: dict[str, Any], label_tokens: Sequence[str], label_ids: Sequence[int]) -> None:
    """Add the label tokens, and let ``<mask>`` strip the blank before it, as the tokenizers of transformers 3 did."""
    others = [token for token in settings["added_tokens"] if token["content"] not in label_tokens]
    for token in others:
        token["lstrip"] |= token["content"] == "<mask>"
    shape = {"single_word": False, "lstrip": True, "rstrip": True, "normalized": False, "special": False}
    by_id = sorted(zip(label_ids, label_tokens, strict=True))
    settings["added_tokens"] = [*others, *({"id": label_id, "content": text, **shape} for label_id, text in by_id)]
