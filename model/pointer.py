"""The pointer-generator of Yan et al. (2021): an encoder-decoder that generates labels and source positions.

A unified generative framework for various NER subtasks, https://arxiv.org/abs/2106.01223, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from genner.data.alignment import label_token, label_token_ids
from genner.data.codecs.pointer import EOS
from genner.errors import ConfigError
from genner.model.backbones import Backbone
from genner.model.decode_state import DecodeState
from genner.model.drafts import DRAFT_UNITS, DraftHead
from genner.model.linear import use_fast_linears
from genner.model.stepping import StepCache

__all__ = ["DECODER_TYPES", "PointerConfig", "PointerModel"]

DECODER_TYPES = ("none", "avg_score", "avg_feature")

# The reference's logits of columns that cannot be chosen; part of the recorded numbers, so kept in compat mode.
_COMPAT_BOS_LOGIT = -1e24
_COMPAT_MASKED_LOGIT = -1e32
_IGNORED = -100
_DRAFT_LR = 1e-3


@dataclass(frozen=True)
class PointerConfig:
    """Options of the pointer head.

    Attributes:
        decoder_type: ``none`` scores a position by its encoder state, the other two by the mean of encoder state and
            piece embedding; ``avg_score`` and ``avg_feature`` differ only in rounding.
        encoder_mlp: whether encoder states pass through two linear layers first.
        dropout: of the head.
        word_dropout: share of source words replaced by the unknown piece in training, so that the model learns to find
            entities by their context; not in the paper, for small corpora and random backbones.
        sampled_prefix: share of the symbols before the one to be learned that are drawn from the model in training, so
            that it learns to go on behind its own mistakes: scheduled sampling (Bengio et al. 2015,
            https://arxiv.org/abs/1506.03099) in two passes of the decoder; not in the paper.
        draft_unit: target type that the draft head predicts (:mod:`genner.model.drafts`), ``word`` or ``bpe``; None:
            no draft head.
        compat: use the reference's label rows, scoring order and mask values.
    """

    decoder_type: str = "avg_feature"
    encoder_mlp: bool = True
    dropout: float = 0.3
    word_dropout: float = 0.0
    sampled_prefix: float = 0.0
    draft_unit: str | None = None
    compat: bool = False

    def __post_init__(self) -> None:
        for name, known in (("decoder_type", DECODER_TYPES), ("draft_unit", (None, *DRAFT_UNITS))):
            if (value := getattr(self, name)) not in known:
                expected = ", ".join(map(str, known))
                raise ConfigError(f"pointer.{name}: unknown value {value!r}. Expected one of {expected}. Choose one.")
        for name in ("dropout", "word_dropout", "sampled_prefix"):
            if not 0.0 <= (value := getattr(self, name)) < 1.0:
                raise ConfigError(f"pointer.{name}: {value} is not a probability. Expected 0 <= {name} < 1. Change it.")

    @property
    def has_mlp(self) -> bool:
        """In the reference, type ``none`` has an encoder MLP whatever the option says."""
        return self.encoder_mlp or (self.compat and self.decoder_type == "none")


class PointerModel(nn.Module):
    """Backbone and pointer head; symbols are 0 BOS, 1 EOS, L labels, then one per source position.

    Args:
        backbone: its embedding grows by the label rows.
        label_words: natural words of every label, in symbol order.
        config: options of the head.
        initialise: False for a model whose weights, label rows included, are loaded afterwards.
    """

    def __init__(
        self,
        backbone: Backbone,
        label_words: Sequence[str],
        config: PointerConfig | None = None,
        *,
        initialise: bool = True,
    ) -> None:
        super().__init__()
        if not label_words:
            raise ConfigError("labels: an empty label set. Expected at least one label to learn. Add it.")
        self.backbone = backbone
        self.config = config or PointerConfig()
        self.n_labels = len(label_words)
        self.shift = 2 + self.n_labels
        rows = self._add_label_rows(label_words) if initialise else [0] * self.n_labels
        frame = [backbone.bos_id, backbone.eos_id]
        # The reference feeds labels in symbol order but scores them in the order of their rows.
        scored = range(min(rows), max(rows) + 1) if initialise and self.config.compat else rows
        self.register_buffer("input_rows", torch.tensor(frame + rows))
        self.register_buffer("score_rows", torch.tensor(frame + list(scored)))
        self.head_dropout = nn.Dropout(self.config.dropout)
        self.encoder_mlp = self._build_mlp() if self.config.has_mlp else None
        unit = self.config.draft_unit
        self.draft_head = DraftHead(backbone.hidden_size, self.n_labels, unit) if unit else None
        use_fast_linears(self)
        if self.encoder_mlp is None and initialise and backbone.is_fresh and backbone.output_scale == 1.0:
            # The product of two normalised states of an untrained network: divided by sqrt(H), as in attention.
            backbone.output_scale = backbone.hidden_size**-0.5

    def _add_label_rows(self, words: Sequence[str]) -> list[int]:
        backbone, tokenizer = self.backbone, self.backbone.tokenizer
        # Every label's words are tokenised alone and without a leading blank.
        pieces = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
        if not self.config.compat:
            rows = list(range(backbone.n_rows, backbone.n_rows + len(words)))
            backbone.resize(backbone.n_rows + len(words))
            _init_label_rows(backbone.embedding.weight, rows, pieces)
            return rows
        # The reference's ids of the label tokens, whether or not the tokenizer already has them.
        n_there = sum(label_token(word) in tokenizer.get_added_vocab() for word in words)
        rows = list(label_token_ids(len(tokenizer) - n_there, words, compat=True))
        # The reference counts the tokenizer's own specials twice when it resizes the matrix.
        n_specials = sum(not token.startswith("<<") for token in set(tokenizer.all_special_tokens))
        backbone.resize(max(backbone.n_rows + n_specials + len(set(rows)), max(rows) + 1))
        _init_label_rows(backbone.embedding.weight, rows, pieces, compat_words=words)
        return rows

    def _build_mlp(self) -> nn.Sequential:
        width = self.backbone.hidden_size
        last = nn.Linear(width, width)
        if self.backbone.is_fresh:
            # Without pretraining, weights of the usual size let noise decide the first pointers; small ones start even.
            nn.init.normal_(last.weight, std=2.0 / width)
            nn.init.zeros_(last.bias)
        return nn.Sequential(nn.Linear(width, width), nn.Dropout(self.config.dropout), nn.ReLU(), last)

    def forward(
        self,
        src_tokens: Tensor,
        src_seq_len: Tensor,
        tgt_tokens: Tensor,
        tgt_seq_len: Tensor | None = None,
        first: Tensor | None = None,
        allowed: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Score every target symbol after BOS, given those before it.

        Args:
            src_tokens: (B, S) pieces with specials.
            src_seq_len: (B,) lengths, specials included.
            tgt_tokens: (B, T) symbols, BOS first; every 1 after a row's first 1 is padding.
            tgt_seq_len: unused: ``tgt_tokens`` shows its padding.
            first: (B, W) first piece of every word, padded with 0; used only by word dropout.
            allowed: (B, T-1, 2+L+S) bool, the symbols to choose from at every place; by default all of them.

        Returns:
            ``logits`` (B, T-1, 2+L+S) float32; ``total``, the sum of the cross entropy over all symbols except padding,
            ``weight``, their number, and ``loss``, the mean.

        Raises:
            SequenceTooLongError: more pieces or symbols than the backbone has positions.
        """
        n_rows, n_pieces = src_tokens.shape
        src_mask = _length_mask(src_tokens, src_seq_len)
        is_padding = _padding(tgt_tokens)
        rows = self._row_table(src_tokens, src_mask)
        inputs = rows.gather(1, tgt_tokens[:, :-1])
        inputs = inputs.masked_fill(is_padding[:, :-1], self.backbone.pad_id)
        legal = self._legal(src_tokens, src_mask)
        if self.training and self.config.word_dropout and first is not None:
            src_tokens = self._drop_words(src_tokens, first, legal[:, self.shift :])
        # One lookup for encoder, decoder and scores: see Backbone.embed.
        ids = torch.cat([src_tokens.flatten(), inputs.flatten(), self.score_rows])
        source, target, symbols = self.backbone.embed(ids).split([src_tokens.numel(), inputs.numel(), self.shift])
        source, target = source.view(n_rows, n_pieces, -1), target.view(*inputs.shape, -1)
        attention_mask = self.backbone.attention_mask(src_mask)
        memory = self.backbone.encode(source, attention_mask)
        # Padding comes after all real steps, hidden by the causal mask; a target mask changes only its own logits.
        target_mask = ~is_padding[:, :-1] if self.config.compat else None
        illegal = ~legal.unsqueeze(1) if allowed is None else ~(allowed & legal.unsqueeze(1))
        score = partial(self._score_all, target_mask, memory, attention_mask, symbols, source, illegal)
        if self.training and self.config.sampled_prefix:
            target = self._mix_in_drawn(target, score, rows, tgt_tokens[:, 1:-1] > EOS)
        logits = score(target)
        wanted = tgt_tokens[:, 1:].masked_fill(is_padding[:, 1:], _IGNORED)
        total = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=_IGNORED, reduction="sum")
        weight = (wanted != _IGNORED).sum()
        if self.training and self.draft_head is not None:
            drafts = self.draft_head.loss(memory, src_mask, tgt_tokens, self.shift)
            total = total + weight * (drafts - drafts.detach())  # its gradient, not its value
        return {"logits": logits, "total": total, "weight": weight, "loss": total / weight}

    def _score_all(
        self,
        target_mask: Tensor | None,
        memory: Tensor,
        attention_mask: Tensor,
        symbols: Tensor,
        source: Tensor,
        illegal: Tensor,
        target: Tensor,
    ) -> Tensor:
        """(B, T-1, V) logits after the decoder inputs ``target``, (B, T-1, H)."""
        hidden = self.backbone.decode(target, target_mask, memory, attention_mask)
        hidden = self.head_dropout(hidden) * self.backbone.output_scale
        label_logits = hidden @ self.head_dropout(symbols).T
        logits = torch.cat([label_logits, hidden @ self._candidates(memory, source).transpose(1, 2)], dim=-1)
        return self._mask(logits.float(), illegal)

    @torch.no_grad()
    def start(self, src_tokens: Tensor, src_seq_len: Tensor, first: Tensor | None = None) -> DecodeState:
        """Encode sentences and compute everything that is constant during decoding.

        Args:
            src_tokens: (G, S) pieces with specials.
            src_seq_len: (G,) lengths, specials included; best on the host, where they are kept.
            first: (G, W) first piece of every word, padded with 0; without it there are no drafts.

        Returns:
            the state of G sentences before BOS is fed, one row each.
        """
        on_host, src_seq_len = src_seq_len.cpu(), src_seq_len.to(src_tokens.device, non_blocking=True)
        src_mask = _length_mask(src_tokens, src_seq_len)
        source = self.backbone.embed(src_tokens)
        memory = self.backbone.encode(source, src_mask)
        keys_and_values = self.backbone.stepper.source(memory)
        candidates = self._candidates(memory, source)
        drafts = None
        if self.draft_head is not None and first is not None:
            drafts = self.draft_head.tables(memory, first, src_seq_len, self.backbone.tail, self.shift)
        return DecodeState(
            row_table=self._row_table(src_tokens, src_mask),
            symbols=self.backbone.embed(self.score_rows).to(candidates.dtype) * self.backbone.output_scale,
            candidates=candidates * self.backbone.output_scale,
            illegal=~self._legal(src_tokens, src_mask),
            src_seq_len=on_host.clone(),
            sentence_idx=torch.arange(len(src_tokens), device=src_tokens.device),
            shift=self.shift,
            cache=StepCache.start(keys_and_values, src_mask),
            drafts=drafts,
        )

    @torch.no_grad()
    def step(self, symbols: Tensor, state: DecodeState) -> Tensor:
        """Feed symbols and score the next ones.

        Args:
            symbols: (R,) last symbols, BOS at the first step; or (R, Q) consecutive symbols. Logits after an EOS are
                undefined; a row whose first symbol is EOS has ended.
            state: of R rows; advanced by as many steps.

        Returns:
            (R, V) or (R, Q, V) float32 logits; columns that no target holds have the lowest value.

        Raises:
            SequenceTooLongError: the backbone has no position left.
        """
        fed = state.to_cache(symbols if symbols.dim() == 2 else symbols.unsqueeze(1))
        cache, n_new = state.cache, fed.shape[1]
        has_ended = fed[:, 0] == EOS
        starts = cache.positions.masked_fill(has_ended, 0)
        ends = starts + n_new
        self.backbone.check_room(cache.longest + n_new, ends)
        cache.reserve(cache.longest + n_new)
        inputs = state.row_table.gather(1, fed.reshape(len(state.row_table), -1)).view_as(fed)
        positions = starts.unsqueeze(1)
        if n_new > 1:
            positions = positions + torch.arange(n_new, device=fed.device)
        hidden = self.backbone.stepper(self.backbone.scaled_rows(inputs), cache, positions)
        cache.advance(ends.masked_fill(has_ended, 0), n_new)
        logits = self._step_logits(hidden, state)
        logits = state.to_rows(logits.view(*fed.shape, -1))
        return logits if symbols.dim() == 2 else logits.squeeze(1)

    def draft(self, written: Tensor, steps: Tensor, n_symbols: int, state: DecodeState) -> Tensor | None:
        """Draft (G, Q <= ``n_symbols``) symbols to follow ``written``, (G, T); see :class:`DraftTables`."""
        if self.backbone.max_positions is not None:
            n_symbols = min(n_symbols, self.backbone.max_positions - state.cache.longest - 1)
        if state.drafts is None or n_symbols < 1:
            return None
        return state.drafts.draft(written, steps, n_symbols, self.shift)

    def _step_logits(self, hidden: Tensor, state: DecodeState) -> Tensor:
        """(R, Q, H) decoder states -> (G, K * Q, V) logits."""
        hidden = hidden.reshape(len(state.row_table), -1, hidden.shape[2])
        candidates = state.candidates[:, : state.cache.width]
        hidden = hidden.to(candidates.dtype)
        # The large factor first: the other order takes twice as long for one or a few states per sentence.
        pointers = (candidates @ hidden.transpose(1, 2)).transpose(1, 2)
        logits = torch.cat((hidden @ state.symbols.T, pointers), dim=2)
        return self._mask(logits.float(), state.illegal[:, None, : state.n_symbols])

    def parameter_groups(self, weight_decay: float) -> list[dict[str, object]]:
        """Parameters for the optimizer: decoder and head, encoder, those without weight decay, and the draft head.

        The shared embedding is in the encoder's group. Layer norms and biases have no weight decay; in compat mode, as
        in the reference, only the encoder's layer norms.
        """
        drafts = [] if self.draft_head is None else list(self.draft_head.parameters())
        norms = {parameter for norm in self.backbone.layer_norms() for parameter in norm.parameters()}
        encoder = set(self.backbone.network.encoder.parameters()) | {self.backbone.embedding.weight}
        groups: dict[str, list[nn.Parameter]] = {"decoder": [], "encoder": [], "no_decay": []}
        for name, parameter in self.named_parameters():
            if name.startswith("draft_head."):
                continue
            if self.config.compat:
                is_free = parameter in norms and parameter in encoder
            else:
                is_free = parameter in norms or name.endswith(".bias")
            groups["no_decay" if is_free else "encoder" if parameter in encoder else "decoder"].append(parameter)
        found = [
            {"name": name, "params": members, "weight_decay": 0.0 if name == "no_decay" else weight_decay}
            for name, members in groups.items()
        ]
        if drafts:
            # Trained from scratch: it needs a higher learning rate than a pretrained network.
            found.append({"name": "drafts", "params": drafts, "weight_decay": 0.0, "lr": _DRAFT_LR})
        return found

    def _row_table(self, src_tokens: Tensor, src_mask: Tensor) -> Tensor:
        """(B, 2+L+S) embedding row of each symbol of a sentence as decoder input."""
        if self.config.compat:
            src_tokens = src_tokens.masked_fill(~src_mask, self.backbone.bos_id)
        return torch.cat([self.input_rows.expand(len(src_tokens), -1), src_tokens], dim=1)

    def _drop_words(self, src_tokens: Tensor, first: Tensor, is_piece: Tensor) -> Tensor:
        """(B, S) with all pieces of some words replaced by the unknown piece; specials and padding stay."""
        is_first = torch.zeros_like(src_tokens).scatter_(1, first, 1)
        is_hit = torch.rand(src_tokens.shape, device=src_tokens.device) < self.config.word_dropout
        is_hit = is_hit.gather(1, is_first.cumsum(1) % src_tokens.shape[1])  # one draw per word
        return src_tokens.masked_fill(is_hit & is_piece, self.backbone.tokenizer.unk_token_id)

    def _mix_in_drawn(
        self, target: Tensor, score: Callable[[Tensor], Tensor], rows: Tensor, is_symbol: Tensor
    ) -> Tensor:
        """(B, T-1, H) decoder inputs, some of them those of labels and pointers that the model draws itself.

        Args:
            target: inputs of the gold symbols.
            score: of inputs, (B, T-1, V) logits.
            rows: (B, V) embedding rows of the symbols.
            is_symbol: (B, T-2) whether a gold symbol after BOS is a label or pointer.
        """
        with torch.no_grad():
            probabilities = score(target).softmax(-1)
            # The largest p / Exp(1) is a draw; multinomial would make the host wait for a GPU.
            drawn = (probabilities / torch.empty_like(probabilities).exponential_()).argmax(-1)[:, :-1]
            is_hit = torch.rand(drawn.shape, device=drawn.device) < self.config.sampled_prefix
            is_hit &= (drawn > EOS) & is_symbol
        if not torch.compiler.is_compiling():
            # Before torch 2.11, weights that were cast without gradients would be used again below, without gradients.
            torch.clear_autocast_cache()
        chosen = self.backbone.embed(rows.gather(1, drawn))
        return torch.cat([target[:, :1], torch.where(is_hit.unsqueeze(2), chosen, target[:, 1:])], 1)

    def _candidates(self, memory: Tensor, source: Tensor) -> Tensor:
        """(B, S, H) output vectors of the source positions."""
        states = memory if self.encoder_mlp is None else self.encoder_mlp(memory)
        if self.config.decoder_type == "none":
            return states
        return (states + self.head_dropout(source)) * 0.5

    def _legal(self, src_tokens: Tensor, src_mask: Tensor) -> Tensor:
        """(B, 2+L+S) bool: EOS, labels and the pieces of the sentence, without its special pieces."""
        if self.config.compat:
            pieces = (src_tokens == self.backbone.eos_id).cumsum(dim=1) == 0
        else:
            pieces = functional.pad(src_mask[:, self.backbone.tail :], (0, self.backbone.tail))
        legal = functional.pad(pieces, (self.shift, 0), value=True)
        legal[:, 0] = False
        legal[:, self.shift : self.shift + self.backbone.lead] = False
        return legal

    def _mask(self, logits: Tensor, illegal: Tensor) -> Tensor:
        if not self.config.compat:
            return logits.masked_fill(illegal, torch.finfo(logits.dtype).min)
        logits = logits.masked_fill(illegal, _COMPAT_MASKED_LOGIT)
        return logits.index_fill(-1, logits.new_zeros(1, dtype=torch.long), _COMPAT_BOS_LOGIT)


def _length_mask(src_tokens: Tensor, src_seq_len: Tensor) -> Tensor:
    """(B, S) bool, True = piece."""
    return torch.arange(src_tokens.shape[1], device=src_tokens.device) < src_seq_len.unsqueeze(1)


def _padding(tgt_tokens: Tensor) -> Tensor:
    """(B, T) bool, True = after the row's first EOS."""
    is_end = tgt_tokens == EOS
    return is_end.cumsum(dim=1) > is_end


@torch.no_grad()
def _init_label_rows(
    weight: Tensor, rows: Sequence[int], pieces: Sequence[Sequence[int]], *, compat_words: Sequence[str] | None = None
) -> None:
    """Initialise every label's row from the rows of its words, in place (Yan et al., section 3.2).

    Args:
        weight: (rows, H) shared embedding.
        rows: row of every label.
        pieces: piece ids of every label's words; a label without any keeps its random row.
        compat_words: the labels' words, to repeat the reference's arithmetic: it sums the pieces in the row of the
            first one, which is overwritten, and processes the labels in the order of their token strings, so that
            later ones read modified rows. None: the mean of the original rows, which are left unchanged.
    """
    if compat_words is None:
        means = [weight[torch.tensor(ids, device=weight.device)].mean(dim=0) if ids else None for ids in pieces]
        for row, mean in zip(rows, means, strict=True):
            if mean is not None:
                weight[row] = mean
        return
    for label in sorted(range(len(rows)), key=lambda i: label_token(compat_words[i])):
        if ids := pieces[label]:
            total = weight[ids[0]]
            for piece in ids[1:]:
                total += weight[piece]
            total /= len(ids)
            weight[rows[label]] = total
