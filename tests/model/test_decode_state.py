"""Continuous batching: every step must score what a forward pass over that row's own target scores."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from transformers import BartConfig, BartModel, T5Config, T5Model

from genner.model.backbones import BartBackbone, T5Backbone
from genner.model.decode_state import DecodeState
from genner.model.pointer import PointerModel
from tests.model.tools import BOTH, LABEL_WORDS, sources_of

SPECS = pytest.mark.parametrize("spec", BOTH)
EXACT = {"rtol": 0, "atol": 1e-9}


@dataclass
class Rows:
    """A state and what it should hold: the number of every sentence and the history of each of its rows."""

    model: PointerModel
    sources: list[list[int]]
    state: DecodeState
    numbers: list[int]
    histories: list[list[list[int]]]

    @classmethod
    def start(cls, model: PointerModel, sources: list[list[int]], numbers: list[int]) -> Rows:
        lengths = torch.tensor([len(sources[number]) for number in numbers])
        width = int(lengths.max())
        padded = [sources[number] + [model.backbone.pad_id] * (width - len(sources[number])) for number in numbers]
        return cls(model, sources, model.start(torch.tensor(padded), lengths), numbers, [[[]] for _ in numbers])

    def feed(self, draw: random.Random, n_symbols: int = 1) -> Tensor:
        """Feed every row random symbols that a target may hold, BOS first."""
        rows = []
        for number, beams in zip(self.numbers, self.histories, strict=True):
            lead, n_pieces = self.model.backbone.lead, len(self.sources[number])
            legal = [2, 3, 4, *(self.model.shift + position for position in range(lead, n_pieces - 1))]
            for history in beams:
                new = draw.choices(legal, k=n_symbols)
                if not history:
                    new[0] = 0
                history += new
                rows.append(new)
        symbols = torch.tensor(rows)
        return self.model.step(symbols[:, 0] if n_symbols == 1 else symbols, self.state)

    def expected(self, number: int, history: list[int]) -> Tensor:
        source = torch.tensor([self.sources[number]])
        target = torch.tensor([[*history, 2]])  # the last symbol is not fed
        with torch.no_grad():
            return self.model(source, torch.tensor([source.shape[1]]), target)["logits"][0]

    def check(self, logits: Tensor, n_symbols: int = 1) -> None:
        assert self.state.n_symbols == logits.shape[-1]
        logits = logits.view(self.state.n_rows, n_symbols, -1)
        rows = [
            (number, history) for number, beams in zip(self.numbers, self.histories, strict=True) for history in beams
        ]
        assert len(rows) == len(logits)
        assert self.state.positions.tolist() == [len(history) for _, history in rows]
        for found, (number, history) in zip(logits, rows, strict=True):
            wanted = self.expected(number, history)[-n_symbols:]
            torch.testing.assert_close(found[:, : wanted.shape[1]], wanted, **EXACT)
            assert (found[:, wanted.shape[1] :] == torch.finfo(torch.float32).min).all(), "columns of longer sentences"

    def select(self, sentences: list[int]) -> None:
        self.state = self.state.select(torch.tensor(sentences))
        self.numbers = [self.numbers[slot] for slot in sentences]
        self.histories = [[list(history) for history in self.histories[slot]] for slot in sentences]

    def refill(self, slots: list[int], numbers: list[int]) -> None:
        """New sentences, not the first ones of their batch."""
        other = Rows.start(self.model, self.sources, [0, *numbers])
        self.state = self.state.refill(torch.tensor(slots), other.state, slice(1, None))
        for slot, number in zip(slots, numbers, strict=True):
            self.numbers[slot] = number
            self.histories[slot] = [[] for _ in self.histories[slot]]

    def reorder(self, parents: list[list[int]]) -> None:
        self.state = self.state.reorder(torch.tensor(parents))
        pairs = zip(self.histories, parents, strict=True)
        self.histories = [[list(beams[parent]) for parent in row] for beams, row in pairs]


@pytest.fixture
def make_rows(make_model, sentences):
    def make(spec: str, numbers: list[int], model: PointerModel | None = None) -> Rows:
        model = (model or make_model(spec)).double().eval()
        src_tokens, lengths = sources_of(model.backbone, sentences[:20])
        sources = [row[:length] for row, length in zip(src_tokens.tolist(), lengths.tolist(), strict=True)]
        assert len(set(map(len, sources))) > 3
        return Rows.start(model, sources, numbers)

    return make


@SPECS
def test_sentences_are_left_out_repeated_and_reordered(spec: str, make_rows) -> None:
    rows, draw = make_rows(spec, [0, 1, 2, 3]), random.Random(1)
    for sentences in ([3, 1, 1], [2, 0], [1]):
        rows.check(rows.feed(draw))
        rows.select(sentences)
    rows.check(rows.feed(draw))


@SPECS
@pytest.mark.parametrize("n_beams", [1, 2])
def test_the_last_sentences_move_into_gaps(spec: str, n_beams: int, make_rows) -> None:
    """Those that stay are not copied; their cache goes on to be written in place."""
    rows, draw = make_rows(spec, [3, 4, 5, 6, 7]), random.Random(8)
    if n_beams > 1:
        rows.state = rows.state.expand_beams(n_beams)
        rows.histories = [[[] for _ in range(n_beams)] for _ in rows.numbers]
    for sentences in ([0, 4, 2, 3], [3, 1], [0]):
        rows.check(rows.feed(draw))
        kept = rows.state.cache.source[0].data_ptr()
        rows.select(sentences)
        assert rows.state.cache.source[0].data_ptr() == kept
        rows.check(rows.feed(draw))
    rows.refill([0], [9])
    rows.check(rows.feed(draw))


@SPECS
def test_slots_are_refilled(spec: str, make_rows) -> None:
    """By shorter and longer sentences than before, while targets of several lengths are unfinished."""
    rows, draw = make_rows(spec, [4, 5, 6]), random.Random(2)
    order = sorted(range(20), key=lambda number: len(rows.sources[number]))
    for slots, numbers in (([1], [order[0]]), ([0, 2], [order[-1], order[1]]), ([2, 0, 1], order[3:6])):
        for _ in range(3):
            rows.check(rows.feed(draw))
        rows.refill(slots, numbers)
    for _ in range(36):
        rows.check(rows.feed(draw))
    assert rows.state.cache.written[0].shape[3] > 32, "the cache has grown"


@SPECS
def test_beams_continue_their_parents(spec: str, make_rows) -> None:
    rows, draw = make_rows(spec, [7, 8]), random.Random(3)
    rows.state = rows.state.expand_beams(3)
    rows.histories = [[[], [], []] for _ in rows.numbers]
    for parents in ([[0, 0, 0]] * 2, [[0, 2, 1], [1, 1, 2]], [[2, 2, 0], [0, 1, 2]], [[1, 1, 1], [2, 0, 1]]):
        rows.check(rows.feed(draw))
        rows.reorder(parents)
    rows.check(rows.feed(draw))


@SPECS
def test_first_children_are_not_copied(spec: str, make_rows) -> None:
    rows, draw = make_rows(spec, [7, 8]), random.Random(4)
    rows.state = rows.state.expand_beams(3)
    rows.histories = [[[], [], []] for _ in rows.numbers]
    rows.check(rows.feed(draw))
    copied = []
    rows.state.cache.copy_rows = lambda targets, origins: copied.append(targets.tolist())
    rows.reorder([[2, 0, 1], [1, 2, 0]])
    assert copied == []
    rows.check(rows.feed(draw))
    rows.reorder([[1, 1, 0], [0, 1, 2]])
    assert [len(targets) for targets in copied] == [1]


@SPECS
@pytest.mark.parametrize("seed", range(6))
def test_any_mixture(spec: str, seed: int, make_rows) -> None:
    draw = random.Random(seed)
    rows, n_beams = make_rows(spec, draw.sample(range(20), 4)), draw.choice([1, 2, 4])
    if n_beams > 1:
        rows.state = rows.state.expand_beams(n_beams)
        rows.histories = [[[] for _ in range(n_beams)] for _ in rows.numbers]
    for _ in range(14):
        n_symbols = draw.choice([1, 1, 1, 3])
        rows.check(rows.feed(draw, n_symbols), n_symbols)
        kind, n_slots = draw.choice(["reorder", "refill", "select", "none"]), len(rows.numbers)
        if kind == "reorder" and n_beams > 1:
            rows.reorder([[draw.randrange(n_beams) for _ in range(n_beams)] for _ in rows.numbers])
        elif kind == "refill":
            slots = draw.sample(range(n_slots), draw.randint(1, n_slots))
            rows.refill(slots, [draw.randrange(20) for _ in slots])
        elif kind == "select":
            rows.select([draw.randrange(n_slots) for _ in range(draw.randint(1, n_slots + 1))])


@SPECS
def test_symbols_can_be_rewound(spec: str, make_rows) -> None:
    rows, draw = make_rows(spec, [0, 9]), random.Random(5)
    rows.check(rows.feed(draw, 4), 4)
    rows.state.rewind(torch.tensor([3, 1]))
    rows.histories = [[rows.histories[0][0][:1]], [rows.histories[1][0][:3]]]
    rows.check(rows.feed(draw))
    rows.check(rows.feed(draw, 2), 2)


@SPECS
def test_ended_rows_stay_within_the_positions(spec: str, make_rows) -> None:
    rows = make_rows(spec, [0, 1])
    rows.model.backbone.max_positions = 5
    for symbol in (0, 2, 3, 4, 2):
        rows.model.step(torch.tensor([symbol, 1 if symbol else 0]), rows.state)
    assert rows.state.positions.tolist() == [5, 0]
    rows.model.step(torch.tensor([1, 1]), rows.state)


def networks(n_rows: int) -> dict[str, torch.nn.Module]:
    """Shapes that the scratch backbones do not have."""
    t5 = {"vocab_size": n_rows, "d_model": 32, "d_kv": 8, "num_heads": 2, "num_layers": 1, "num_decoder_layers": 3}
    t5 |= {"decoder_start_token_id": 0}
    bart = {"vocab_size": n_rows, "d_model": 32, "encoder_layers": 1, "decoder_layers": 3}
    bart |= {"decoder_attention_heads": 4, "encoder_attention_heads": 2, "decoder_ffn_dim": 48, "dropout": 0.0}
    return {
        "t5 v1.1": T5Model(T5Config(**t5, d_ff=48, feed_forward_proj="gated-gelu", dropout_rate=0.0)),
        "t5 near": T5Model(
            T5Config(**t5, d_ff=48, relative_attention_num_buckets=8, relative_attention_max_distance=9)
        ),
        "bart scaled": BartModel(BartConfig(**bart, scale_embedding=True)),
        "bart relu": BartModel(BartConfig(**bart, activation_function="relu")),
    }


@pytest.mark.parametrize("name", ["t5 v1.1", "t5 near", "bart scaled", "bart relu"])
def test_other_shapes_of_the_networks(name: str, make_backbone, make_rows) -> None:
    kind = T5Backbone if name.startswith("t5") else BartBackbone
    tokenizer = make_backbone("scratch-t5:tiny" if kind is T5Backbone else "scratch:tiny").tokenizer
    torch.manual_seed(3)
    network = networks(len(tokenizer))[name]
    rows, draw = make_rows("", [2, 3, 4], PointerModel(kind(network, tokenizer), LABEL_WORDS)), random.Random(6)
    for _ in range(22):
        rows.check(rows.feed(draw))
