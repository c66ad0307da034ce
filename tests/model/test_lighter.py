"""Lighter forms: the same scores up to rounding or 8 bits, from layers that are really of that form."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genner.errors import ConfigError
from genner.model.generation import AnyPiece, GenerationConfig, PreparedBatch, search_all
from genner.model.linear import FORMS, lighten
from genner.model.pointer import PointerConfig, PointerModel
from tests.model.tools import BOTH

#: Largest difference of a logit, in standard deviations of the logits.
CLOSE = {"float32": 0.0, "packed": 1e-4, "bf16": 0.1, "int8": 0.1}


def first_logits(model: PointerModel, batch) -> torch.Tensor:
    """(B, V) logits of the first and of the second symbol, legal columns only."""
    state = model.start(batch.src_tokens, batch.src_seq_len)
    both = torch.stack([model.step(symbols, state) for symbols in batch.tgt_tokens[:, :2].T])
    return both[both > -1e20]


@pytest.mark.parametrize("spec", BOTH)
@pytest.mark.parametrize("form", FORMS)
def test_scores_stay(spec: str, form: str, make_model, make_batch) -> None:
    model = make_model(spec).eval()
    batch = make_batch(model)
    expected = first_logits(model, batch)
    assert lighten(model, form) is model
    kinds = {type(module).__name__ for module in model.modules() if type(module).__name__.endswith("Linear")}
    assert kinds == {
        {"float32": "FastLinear", "packed": "_PackedLinear", "bf16": "_Bf16Linear", "int8": "Linear"}[form]
    }
    n_plain = sum(isinstance(module, nn.Linear) for module in model.modules())
    assert (n_plain > 0) == (form == "float32")
    difference = (first_logits(model, batch) - expected).abs().max() / expected.std()
    assert difference <= CLOSE[form]
    assert form in ("float32", "packed") or difference > 0, "nothing was rounded"


@pytest.mark.parametrize("form", FORMS)
def test_forms_answer_and_draft(form: str, make_model, make_batch) -> None:
    model = lighten(make_model("scratch:tiny", PointerConfig(draft_unit="word")).eval(), form)
    assert isinstance(model.draft_head.linear, nn.Linear)
    batch = make_batch(model)
    limits = torch.full_like(batch.src_seq_len, 9)
    first = torch.arange(1, 4).expand(4, -1)
    for options in ({"draft_len": 3}, {"num_beams": 3}):
        state = model.start(batch.src_tokens, batch.src_seq_len, first)
        constraint = AnyPiece(3).start(first, batch.src_seq_len, 1, 1, limits, batch.src_tokens.shape[1])
        found = dict(search_all(model, [PreparedBatch(state, constraint, limits)], GenerationConfig(**options)))
        assert len(found) == 4
        assert all(hypotheses[0].ids[-1] == 1 and len(hypotheses[0].ids) <= 9 for hypotheses in found.values())


def test_unknown_form(make_model) -> None:
    with pytest.raises(ConfigError, match=r"unknown form 'int4'. Expected one of float32, packed, bf16, int8"):
        lighten(make_model("scratch:tiny"), "int4")


def test_forms_are_for_the_cpu(make_model) -> None:
    model = make_model("scratch:tiny").to("meta")
    with pytest.raises(ConfigError, match=r"int8 is for the CPU, the model is on meta"):
        lighten(model, "int8")
    assert lighten(model, "float32") is model
