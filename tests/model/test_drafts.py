"""The draft head: its tables, the drafts made from them, and that training it does not change the model."""

from __future__ import annotations

import pytest
import torch

from genner.errors import ConfigError
from genner.model.drafts import DraftHead, DraftTables
from genner.model.generation import AnyPiece, GenerationConfig, PreparedBatch, search_all
from genner.model.pointer import PointerConfig, PointerModel
from tests.model.tools import BOTH

SHIFT = 4  # two labels
LABEL, OTHER, EOS = 2, 3, 1


def head_of(unit: str) -> DraftHead:
    """A head that reads its scores off the states: start, continue, label, other label."""
    head = DraftHead(4, 2, unit)
    with torch.no_grad():
        head.linear.weight.copy_(torch.eye(4))
    return head


# <s> and words of 1, 2, 1 and 1 pieces, </s>, one column of padding.
FIRST = torch.tensor([[1, 2, 4, 5]])
STATES = torch.tensor(
    [
        [
            [9.0, 9, 0, 0],  # <s>: never a start
            [5.0, 9, 0, 0],  # starts, continues
            [-5.0, 0, 0, 9],  # ends as the other label
            [5.0, 9, 0, 0],  # inside a word: no start of a word target
            [5.0, 9, 8, 0],  # starts, continues
            [-1.0, 9, 2, 1],  # would continue, but is the last
            [9.0, 9, 0, 0],
            [9.0, 9, 0, 0],
        ]
    ]
)


def test_tables_of_words() -> None:
    found = head_of("word").tables(STATES, FIRST, torch.tensor([7]), 1, SHIFT)
    pointer = [SHIFT + position for position in range(8)]
    assert found.follower[0, 1].item() == pointer[2]
    assert found.follower[0, 2].item() == OTHER
    assert found.follower[0, 4].item() == pointer[5]
    assert found.follower[0, 5].item() == LABEL
    assert found.next_start[0].tolist() == [pointer[1], pointer[1], *[pointer[4]] * 3, *[EOS] * 4]


def test_tables_of_pieces() -> None:
    found = head_of("bpe").tables(STATES, FIRST, torch.tensor([7]), 1, SHIFT)
    assert found.follower[0, 3].item() == SHIFT + 4
    assert found.follower[0, 1].item() == SHIFT + 2
    assert found.next_start[0, 3].item() == SHIFT + 4, "an entity starts with a word"


def test_drafts_continue_any_prefix() -> None:
    tables = head_of("word").tables(STATES, FIRST, torch.tensor([7]), 1, SHIFT)
    whole = [0, SHIFT + 1, SHIFT + 2, OTHER, SHIFT + 4, SHIFT + 5, LABEL, EOS]
    for n_steps in range(1, len(whole)):
        written = torch.tensor([whole[:n_steps] + [EOS] * 4])
        draft = tables.draft(written, torch.tensor([n_steps]), 5, SHIFT)
        assert draft[0].tolist() == [*whole[n_steps:], *[EOS] * 5][:5], n_steps


def test_an_unpredicted_entity_is_continued() -> None:
    tables = head_of("word").tables(STATES, FIRST, torch.tensor([7]), 1, SHIFT)
    # The entity starts at the second word, which the head does not predict as a start, and skips the third.
    written = torch.tensor([[0, SHIFT + 2, SHIFT + 5, EOS], [0, SHIFT + 2, LABEL, EOS]])
    tables = tables.select(torch.tensor([0, 0]))
    draft = tables.draft(written, torch.tensor([3, 3]), 2, SHIFT)
    assert draft.tolist() == [[LABEL, SHIFT + 4], [SHIFT + 4, SHIFT + 5]]


def test_slots_are_refilled_with_rows_of_other_lengths() -> None:
    tables = head_of("word").tables(STATES, FIRST, torch.tensor([7]), 1, SHIFT)
    narrow = DraftTables(torch.tensor([[LABEL, LABEL]]), torch.tensor([[SHIFT + 1, SHIFT + 1, EOS]]))
    wide = tables.select(torch.tensor([0, 0]))
    narrow.refill(torch.tensor([0]), tables, slice(0, 1))
    assert torch.equal(narrow.follower, tables.follower) and torch.equal(narrow.next_start, tables.next_start)
    wide.refill(torch.tensor([1]), DraftTables(torch.tensor([[OTHER]]), torch.tensor([[SHIFT, EOS]])), slice(0, 1))
    assert wide.draft(torch.tensor([[0, EOS]] * 2), torch.tensor([1, 1]), 3, SHIFT)[1].tolist() == [SHIFT, OTHER, EOS]


@pytest.mark.parametrize("spec", BOTH)
def test_training_the_head_does_not_change_the_model(spec: str, make_backbone, make_batch) -> None:
    gradients, losses = [], []
    for unit in (None, "word"):
        torch.manual_seed(7)
        model = PointerModel(make_backbone(spec), ("person", "location", "cell_line"), PointerConfig(draft_unit=unit))
        state = torch.get_rng_state()
        batch = make_batch(model)
        loss = model.train()(*batch)["loss"]
        loss.backward()
        losses.append(loss.item())
        names = [name for name, _ in model.named_parameters() if not name.startswith("draft_head")]
        gradients.append({name: model.get_parameter(name).grad for name in names} | {"random": state})
    assert losses[0] == losses[1]
    for name, gradient in gradients[0].items():
        assert gradient is None or torch.equal(gradient, gradients[1][name]), name
    assert model.draft_head.linear.weight.grad.abs().sum() > 0


def test_the_head_learns_the_targets(make_model, make_batch) -> None:
    """Trained on four sentences, it drafts their targets; greedy search needs fewer passes for the same result."""
    model = make_model("scratch:tiny", PointerConfig(dropout=0.0, draft_unit="word"))
    batch = make_batch(model)
    tokens = batch.src_tokens
    first = torch.arange(tokens.shape[1]).expand_as(tokens) * (torch.arange(tokens.shape[1]) < 7)
    first = torch.where(first >= model.backbone.lead, first, 0)[:, model.backbone.lead :]
    groups = model.parameter_groups(0.01)
    assert [group["name"] for group in groups] == ["decoder", "encoder", "no_decay", "drafts"]
    # In this order in every process: a continued run finds the moments of its parameters by it.
    head = model.draft_head.linear
    assert [id(parameter) for parameter in groups[-1]["params"]] == [id(head.weight), id(head.bias)]
    optimizer = torch.optim.AdamW(groups, lr=2e-3)
    for group in optimizer.param_groups:
        group["lr"] *= 5 if group["name"] == "drafts" else 1
    for _ in range(120):
        optimizer.zero_grad()
        model.train()(*batch)["loss"].backward()
        optimizer.step()
    model.eval()
    limits = torch.full_like(batch.src_seq_len, 16)
    passes, answers = [], []
    for draft_len in (0, 4):
        count = 0

        def step(symbols, state, step=model.step):
            nonlocal count
            count += 1
            return step(symbols, state)

        model.step = step
        state = model.start(tokens, batch.src_seq_len, first)
        constraint = AnyPiece(3).start(first, batch.src_seq_len, model.backbone.lead, 1, limits, tokens.shape[1])
        config = GenerationConfig(draft_len=draft_len, constrained=False)
        answers.append(
            {
                number: one[0].ids
                for number, one in search_all(model, [PreparedBatch(state, constraint, limits)], config)
            }
        )
        del model.step
        passes.append(count)
    assert answers[0] == answers[1]
    targets = [row[: row.index(1) + 1] for row in batch.tgt_tokens.tolist()]
    assert [answers[0][number] for number in range(4)] == targets
    assert passes[1] < passes[0]


def test_unknown_unit() -> None:
    with pytest.raises(ConfigError, match=r"pointer.draft_unit: unknown value 'span'. Expected one of None, word, bpe"):
        PointerConfig(draft_unit="span")
