"""The search against a plain one: one sentence, no cache, the whole prefix through the model at every step.

In double precision, so that equal means equal; with random and trained weights, for any batches, order and drafts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from genner.model.generation import GenerationConfig, PointerConstraint, PreparedBatch, search_all
from genner.model.pointer import PointerConfig, PointerModel
from tests.model.tools import BOTH

EOS, N_LABELS = 1, 3
N_SENTENCES = 14


class Sentences:
    """Sentences of one piece a word, with targets that a small model can learn: some words are entities."""

    def __init__(self, model: PointerModel, words: list[list[str]]) -> None:
        self.model, backbone = model, model.backbone
        # The first piece of every word stands for it.
        pieces = [[backbone.tokenizer(" " + word)["input_ids"][backbone.lead] for word in row] for row in words]
        self.sources = [[*[backbone.bos_id] * backbone.lead, *row, backbone.eos_id] for row in pieces]
        self.targets = [self._target(row) for row in pieces]

    def _target(self, pieces: list[int]) -> list[int]:
        place = self.model.shift + self.model.backbone.lead
        target = [0]
        for idx, piece in enumerate(pieces):
            if piece % 3 == 0:
                target += [
                    place + idx,
                    *([place + idx + 1] if idx + 1 < len(pieces) and piece % 2 else []),
                    2 + piece % N_LABELS,
                ]
        return [*target, EOS]

    def batch(self, numbers: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        lengths = torch.tensor([len(self.sources[number]) for number in numbers])
        width, lead = int(lengths.max()), self.model.backbone.lead
        pad_id = self.model.backbone.pad_id
        tokens = torch.tensor([self.sources[n] + [pad_id] * (width - len(self.sources[n])) for n in numbers])
        place = torch.arange(lead, width - 1)
        first = torch.where(place < (lengths - 1).unsqueeze(1), place, 0)
        longest = max(len(self.targets[n]) for n in numbers)
        targets = torch.tensor([self.targets[n] + [EOS] * (longest - len(self.targets[n])) for n in numbers])
        return tokens, lengths, first, targets

    def train(self, n_steps: int) -> None:
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=2e-3)
        tokens, lengths, _, targets = self.batch(list(range(N_SENTENCES)))
        self.model.train()
        for _ in range(n_steps):
            optimizer.zero_grad()
            self.model(tokens, lengths, targets)["loss"].backward()
            optimizer.step()
        self.model.eval()


@pytest.fixture(scope="module", params=[(spec, trained) for spec in BOTH for trained in (False, True)], ids=str)
def sentences_of_a_model(request, make_model, sentences) -> Sentences:
    spec, trained = request.param
    model = make_model(spec, PointerConfig(dropout=0.0, draft_unit="word"))
    data = Sentences(model, sentences[:N_SENTENCES])
    if trained:
        data.train(150)
    else:  # a random model may end every sentence at once: a small EOS embedding prevents that
        torch.manual_seed(4)
        torch.nn.init.normal_(model.backbone.embedding.weight, std=1.0)
        model.backbone.embedding.weight.data[model.backbone.eos_id] *= 0.2
    model.double().eval()
    return data


def prepared(data: Sentences, numbers: list[int], limits: list[int]) -> PreparedBatch:
    tokens, lengths, first, _ = data.batch(numbers)
    bounds = torch.tensor([limits[number] for number in numbers])
    backbone = data.model.backbone
    constraint = PointerConstraint("word", N_LABELS).start(first, lengths, backbone.lead, 1, bounds, tokens.shape[1])
    return PreparedBatch(data.model.start(tokens, lengths, first), constraint, bounds)


def next_logprobs(data: Sentences, number: int, prefix: list[int], limit: int) -> Iterator[tuple[int, float]]:
    """Symbols that may follow, with their log-probabilities; the whole prefix goes through the model."""
    tokens, lengths, first, _ = data.batch([number])
    lead = data.model.backbone.lead
    state = PointerConstraint("word", N_LABELS).start(first, lengths, lead, 1, torch.tensor([limit]))
    for symbol in prefix[1:]:
        state = state.advance(torch.tensor([symbol]))
    with torch.no_grad():
        logits = data.model(tokens, lengths, torch.tensor([[*prefix, 2]]))["logits"][0, -1]
    logprobs = logits.double().log_softmax(0).tolist()
    return ((symbol, logprobs[symbol]) for symbol in state.allowed()[0].nonzero().squeeze(1).tolist())


def plain_greedy(data: Sentences, number: int, limit: int) -> list[int]:
    prefix = [0]
    while prefix[-1] != EOS:
        prefix.append(max(next_logprobs(data, number, prefix, limit), key=lambda pair: pair[1])[0])
    return prefix


def plain_beams(data: Sentences, number: int, limit: int, n_beams: int) -> list[int]:
    beams, finished = [(0.0, [0])], []
    while beams:
        longer = [
            (total + logprob, [*prefix, symbol])
            for total, prefix in beams
            for symbol, logprob in next_logprobs(data, number, prefix, limit)
        ]
        best = sorted(longer, key=lambda beam: -beam[0])[: 2 * n_beams]
        finished += [(total / max(len(ids) - 1, 2), ids) for total, ids in best if ids[-1] == EOS]
        beams = [beam for beam in best if beam[1][-1] != EOS][:n_beams]
    return max(finished, key=lambda pair: pair[0])[1]


@pytest.mark.parametrize("n_beams", [1, 3])
def test_results_equal_the_plain_search(sentences_of_a_model: Sentences, n_beams: int) -> None:
    data = sentences_of_a_model
    draw = random.Random(n_beams)
    limits = [draw.choice([4, 8, 13]) for _ in range(N_SENTENCES)]
    numbers = range(N_SENTENCES)
    if n_beams == 1:
        plain = [plain_greedy(data, number, limits[number]) for number in numbers]
    else:
        plain = [plain_beams(data, number, limits[number], n_beams) for number in numbers]
    assert len(set(map(len, plain))) > 2
    for sizes in ([N_SENTENCES], [1] * N_SENTENCES, [3, 4, 5, 2]):
        order = draw.sample(numbers, N_SENTENCES)
        for draft_len in (0, 3) if n_beams == 1 else (0,):
            config = GenerationConfig(num_beams=n_beams, draft_len=draft_len, draft_rows=99)
            queue = iter(order)
            batches = (prepared(data, [next(queue) for _ in range(size)], limits) for size in sizes)
            found = {order[idx]: hypotheses[0].ids for idx, hypotheses in search_all(data.model, batches, config)}
            assert [found[number] for number in numbers] == plain


def test_the_trained_weights_have_learned_something(sentences_of_a_model: Sentences) -> None:
    """Guards the test above: a right answer must depend on the sentence."""
    data = sentences_of_a_model
    answers = [plain_greedy(data, number, 30) for number in range(N_SENTENCES)]
    n_right = sum(answer == target for answer, target in zip(answers, data.targets, strict=True))
    loss = data.model(*(data.batch(list(range(N_SENTENCES)))[idx] for idx in (0, 1, 3)))["loss"].item()
    assert (n_right > N_SENTENCES / 2) == (loss < 0.5)
