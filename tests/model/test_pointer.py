"""The pointer model: label rows, scores, loss, masks, stepwise decoding and parameter groups."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional

from genner.data.codecs.pointer import EOS
from genner.errors import ConfigError, SequenceTooLongError
from genner.model.pointer import DECODER_TYPES, PointerConfig, PointerModel
from tests.model.tools import BOTH, LABEL_WORDS

SPECS = pytest.mark.parametrize("spec", BOTH)
LOWEST = torch.finfo(torch.float32).min


def run_steps(model: PointerModel, batch) -> torch.Tensor:
    """(B, T-1, V) logits, one symbol after the other."""
    state = model.start(batch.src_tokens, batch.src_seq_len)
    return torch.stack([model.step(symbols, state) for symbols in batch.tgt_tokens[:, :-1].T], dim=1)


@SPECS
def test_label_rows_are_means_and_the_only_new_rows(spec: str, make_backbone) -> None:
    backbone = make_backbone(spec)
    original = backbone.embedding.weight.detach().clone()
    model = PointerModel(backbone, LABEL_WORDS)
    weight = backbone.embedding.weight.detach()
    assert weight.shape[0] == len(original) + len(LABEL_WORDS)
    assert torch.equal(weight[: len(original)], original)
    pieces = [backbone.tokenizer(word, add_special_tokens=False)["input_ids"] for word in LABEL_WORDS]
    assert any(len(ids) > 1 for ids in pieces)
    for row, ids in zip(model.input_rows[2:].tolist(), pieces, strict=True):
        torch.testing.assert_close(weight[row], original[ids].mean(0), rtol=0, atol=1e-6)
    assert model.input_rows.tolist() == model.score_rows.tolist()
    assert model.input_rows[2:].tolist() == list(range(len(original), len(original) + len(LABEL_WORDS)))


def test_compat_scores_labels_in_the_order_of_their_rows(make_model) -> None:
    model = make_model("scratch:tiny", PointerConfig(compat=True, dropout=0.0))
    first = len(model.backbone.tokenizer)
    # Longest word first: cell_line, location, person.
    assert model.input_rows.tolist() == [0, 2, first + 2, first + 1, first]
    assert model.score_rows.tolist() == [0, 2, first, first + 1, first + 2]
    assert model.backbone.n_rows == first + 5 + len(LABEL_WORDS)


@SPECS
@pytest.mark.parametrize("decoder_type", DECODER_TYPES)
@pytest.mark.parametrize("mlp", [True, False])
def test_step_logits_are_those_of_the_whole_target(spec, decoder_type, mlp, make_model, make_batch) -> None:
    model = make_model(spec, PointerConfig(decoder_type, mlp, 0.0)).eval()
    batch = make_batch(model)
    with torch.no_grad():
        expected = model(*batch)["logits"]
    assert expected.dtype == torch.float32
    actual = run_steps(model, batch)
    assert actual.shape == expected.shape == (4, batch.tgt_tokens.shape[1] - 1, 2 + 3 + batch.src_tokens.shape[1])
    legal = (expected > LOWEST) & batch.is_real.unsqueeze(-1)
    torch.testing.assert_close(actual[legal], expected[legal], rtol=0, atol=1e-4)
    assert (actual == LOWEST).eq(expected == LOWEST).all()


@SPECS
def test_only_columns_that_no_target_holds_are_masked(spec: str, make_model, make_batch) -> None:
    model = make_model(spec).eval()
    batch = make_batch(model)
    masked = (model(*batch)["logits"] == LOWEST).all(dim=1)
    assert torch.equal(masked, (model(*batch)["logits"] == LOWEST).any(dim=1)), "the same at every step"
    lead = model.backbone.lead
    for row, length in zip(masked.tolist(), batch.src_seq_len.tolist(), strict=True):
        legal = [i for i, is_masked in enumerate(row) if not is_masked]
        assert legal == [1, 2, 3, 4, *range(5 + lead, 5 + length - 1)]


def test_word_that_is_an_end_piece_hides_the_rest_in_compat_only(make_model) -> None:
    src_tokens, lengths = torch.tensor([[0, 9, 2, 8, 2]]), torch.tensor([5])
    for compat, legal in ((True, [6]), (False, [6, 7, 8])):
        model = make_model("scratch:tiny", PointerConfig(compat=compat, dropout=0.0)).eval()
        logits = model.step(torch.tensor([0]), model.start(src_tokens, lengths))[0]
        assert [i for i in range(5, 10) if logits[i] > -1e20] == legal


def test_compat_mask_values(make_model, make_batch) -> None:
    model = make_model("scratch:tiny", PointerConfig(compat=True, dropout=0.0)).eval()
    batch = make_batch(model)
    for logits in (model(*batch)["logits"], run_steps(model, batch)):
        assert (logits[..., 0] == torch.tensor(-1e24)).all()
        assert (logits[..., 5] == torch.tensor(-1e32)).all()


@SPECS
def test_loss_is_the_mean_over_real_symbols(spec: str, make_model, make_batch) -> None:
    model = make_model(spec).eval()
    batch = make_batch(model)
    output = model(*batch)
    logprobs = output["logits"].double().log_softmax(-1)
    picked = [-logprobs[b, t, batch.tgt_tokens[b, t + 1]].item() for b, t in batch.is_real.nonzero().tolist()]
    assert len(picked) == 1 + 6 + 3 + 9
    assert output["loss"].item() == pytest.approx(sum(picked) / len(picked), abs=1e-5)


@SPECS
@pytest.mark.parametrize("compat", [False, True])
def test_neither_other_sentences_nor_padding_matter(spec: str, compat: bool, make_model, make_batch) -> None:
    model = make_model(spec, PointerConfig(compat=compat, dropout=0.0)).eval()
    batch = make_batch(model)
    logits = model(*batch)["logits"]
    for row, (length, n_symbols) in enumerate(zip(batch.src_seq_len, batch.is_real.sum(1), strict=True)):
        alone = model(
            batch.src_tokens[row : row + 1, :length],
            batch.src_seq_len[row : row + 1],
            batch.tgt_tokens[row : row + 1, : n_symbols + 1],
        )["logits"]
        expected = logits[row : row + 1, :n_symbols, : 5 + length]
        torch.testing.assert_close(alone, expected, rtol=1e-5, atol=2e-5)


def test_gradients_do_not_depend_on_target_padding(make_model, make_batch) -> None:
    norms = []
    for extra in (0, 3):
        model = make_model("scratch:tiny")
        batch = make_batch(model)
        model(batch.src_tokens, batch.src_seq_len, torch.nn.functional.pad(batch.tgt_tokens, (0, extra), value=1))[
            "loss"
        ].backward()
        norms.append({name: p.grad.norm() for name, p in model.named_parameters() if not name.endswith("k_proj.bias")})
    for name, norm in norms[0].items():
        torch.testing.assert_close(norm, norms[1][name], rtol=1e-4, atol=1e-7, msg=name)


def test_average_of_scores_is_score_of_averages(make_model, make_batch) -> None:
    models = [make_model("scratch:tiny", PointerConfig(kind, True, 0.0)).eval() for kind in DECODER_TYPES]
    batch = make_batch(models[0])
    none, avg_score, avg_feature = (model(*batch)["logits"] for model in models)
    torch.testing.assert_close(avg_score, avg_feature, rtol=0, atol=1e-5)
    assert (none[..., 6] - avg_feature[..., 6]).abs().max() > 1e-3
    torch.testing.assert_close(none[..., 1:5], avg_feature[..., 1:5], rtol=0, atol=1e-5)


def test_none_without_mlp_has_none_unless_compat(make_model) -> None:
    assert make_model("scratch:tiny", PointerConfig("none", False)).encoder_mlp is None
    assert make_model("scratch:tiny", PointerConfig("none", False, compat=True)).encoder_mlp is not None
    assert make_model("scratch:tiny", PointerConfig("avg_score", False, compat=True)).encoder_mlp is None


def test_head_dropout_reaches_symbol_rows_and_source_embeddings(make_model, make_batch) -> None:
    model = make_model("scratch:tiny", PointerConfig("avg_feature", False, 0.0)).train()
    seen = []
    model.head_dropout.register_forward_hook(lambda module, inputs, output: seen.append(tuple(inputs[0].shape)))
    batch = make_batch(model)
    model(*batch)
    n_steps, n_pieces = batch.tgt_tokens.shape[1] - 1, batch.src_tokens.shape[1]
    assert sorted(seen) == sorted([(4, n_steps, 128), (5, 128), (4, n_pieces, 128)])


@SPECS
def test_sentence_constants_are_computed_once(spec: str, make_model, make_batch) -> None:
    model = make_model(spec).eval()
    batch = make_batch(model)
    calls = {"encoder": 0, "mlp": 0, "cross": 0}

    def count(name: str):
        return lambda *_: calls.update({name: calls[name] + 1})

    model.backbone.network.encoder.register_forward_hook(count("encoder"))
    model.encoder_mlp.register_forward_hook(count("mlp"))
    for name, module in model.backbone.network.decoder.named_modules():
        if name.endswith(("encoder_attn.k_proj", "EncDecAttention.k")):
            module.register_forward_hook(count("cross"))
    run_steps(model, batch)
    assert calls == {"encoder": 1, "mlp": 1, "cross": 2}, "two layers, once each"


def test_steps_beyond_the_positions_are_an_error(make_model, make_batch) -> None:
    model = make_model("scratch:tiny").eval()
    batch = make_batch(model)
    state = model.start(batch.src_tokens, batch.src_seq_len)
    model.backbone.max_positions = 2
    model.step(batch.tgt_tokens[:, 0], state)
    model.step(batch.tgt_tokens[:, 1], state)
    with pytest.raises(SequenceTooLongError, match="a target of 3 pieces"):
        model.step(batch.tgt_tokens[:, 2], state)


@pytest.mark.parametrize("spec", ["scratch:tiny", "scratch:small", "scratch-t5:tiny", "scratch-t5:small"])
def test_first_loss_is_that_of_guessing(spec: str, make_model, make_batch) -> None:
    torch.manual_seed(0)
    model = make_model(spec, PointerConfig(), dropout=None).train()
    batch = make_batch(model, 8)
    loss = model(*batch)["loss"].item()
    n_legal = (model(*batch)["logits"][:, 0] > LOWEST).sum(1).float().log().mean().item()
    assert abs(loss - n_legal) < 1.0


@SPECS
def test_half_precision_training_step(spec: str, make_model, make_batch) -> None:
    model = make_model(spec)
    batch = make_batch(model)
    exact = model(*batch)["loss"].item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(*batch)
    assert output["logits"].dtype == output["loss"].dtype == torch.float32
    assert output["loss"].item() == pytest.approx(exact, abs=0.1)
    output["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = run_steps(model, batch)
    assert logits.dtype == torch.float32


@SPECS
@pytest.mark.parametrize("compat", [False, True])
def test_parameter_groups(spec: str, compat: bool, make_model) -> None:
    model = make_model(spec, PointerConfig(compat=compat))
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = model.parameter_groups(0.01)
    assert [group["weight_decay"] for group in groups] == [0.01, 0.01, 0.0]
    members = [[names[p] for p in group["params"]] for group in groups]
    assert sorted(itertools.chain(*members)) == sorted(names.values()), "every parameter once"
    assert "backbone.network.shared.weight" in members[1]
    decoder_norms = [name for name in names.values() if "decoder" in name and "norm" in name]
    assert decoder_norms
    biases = [name for name in names.values() if name.endswith("mlp.0.bias")]
    free = set(members[2])
    assert all("norm" in name and ".encoder." in name for name in free) == compat
    assert (set(decoder_norms) <= free) != compat
    assert (set(biases) <= free) != compat
    torch.optim.AdamW(groups, lr=1e-3)


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ConfigError, match=r"unknown value 'sum'. Expected one of none, avg_score, avg_feature"):
        PointerConfig(decoder_type="sum")
    with pytest.raises(ConfigError, match=r"dropout: 1.5"):
        PointerConfig(dropout=1.5)


def test_empty_label_set(make_backbone) -> None:
    with pytest.raises(ConfigError, match="empty label set"):
        PointerModel(make_backbone("scratch:tiny"), [])


def test_logits_are_not_all_alike(make_model, make_batch) -> None:
    """Guards the tests above: a model that scores everything the same would pass most of them."""
    model = make_model("scratch:tiny").eval()
    logits = model(*make_batch(model))["logits"]
    legal = logits[0, 0][logits[0, 0] > LOWEST]
    assert legal.std() > 0.02
    assert not math.isclose(logits[1, 1, 1].item(), logits[1, 2, 1].item(), abs_tol=1e-4)


def test_word_dropout_hides_whole_words_in_training_only(make_model, make_batch) -> None:
    model = make_model("scratch:tiny", PointerConfig(dropout=0.0, word_dropout=0.5))
    batch = make_batch(model)
    src_mask = torch.arange(batch.src_tokens.shape[1]) < batch.src_seq_len.unsqueeze(1)
    is_piece = model._legal(batch.src_tokens, src_mask)[:, model.shift :]
    first = torch.arange(1, 9, 2).expand(len(batch.src_tokens), -1)  # words of two pieces, the last one longer
    dropped = model._drop_words(batch.src_tokens, first, is_piece)
    is_changed = dropped != batch.src_tokens
    assert is_changed.any()
    assert not (is_changed & ~is_piece).any(), "a special piece or padding was hidden"
    assert (dropped[is_changed] == model.backbone.tokenizer.unk_token_id).all()
    in_pairs = is_changed[:, 1:7].reshape(len(first), 3, 2)
    whole = is_piece[:, 1:7].reshape(len(first), 3, 2).all(2)
    assert (in_pairs[..., 0] == in_pairs[..., 1])[whole].all(), "half a word was hidden"
    tensors = batch.src_tokens, batch.src_seq_len, batch.tgt_tokens, None, first
    assert not torch.equal(model.train()(*tensors)["logits"], model(*tensors)["logits"])
    assert torch.equal(model.eval()(*tensors)["logits"], model(*tensors)["logits"])


@SPECS
def test_prefixes_are_drawn_from_the_model_in_training_only(spec: str, make_model, make_batch, monkeypatch) -> None:
    """BOS stays, about half of the others are replaced by allowed symbols; what is to be learned stays as it was."""
    model = make_model(spec, PointerConfig(dropout=0.0, sampled_prefix=0.5))
    batch = make_batch(model, 60)
    decoded = []
    decode = model.backbone.decode
    monkeypatch.setattr(model.backbone, "decode", lambda *given: (decoded.append(given[0]), decode(*given))[1])
    plain = model.eval()(*batch)
    (gold,) = decoded
    decoded.clear()
    allowed = torch.rand(plain["logits"].shape) < 0.5
    allowed |= functional.one_hot(batch.tgt_tokens[:, 1:], allowed.shape[2]).bool()
    found = model.train()(*batch, allowed=allowed)
    assert torch.equal(decoded[0], gold), "the first pass reads the gold symbols"
    assert (found["weight"], len(decoded)) == (plain["weight"], 2)
    torch.testing.assert_close(found["logits"][:, 0], plain["logits"][:, 0].masked_fill(~allowed[:, 0], LOWEST))

    src_mask = torch.arange(batch.src_tokens.shape[1]) < batch.src_seq_len.unsqueeze(1)
    inputs = model.backbone.embed(model._row_table(batch.src_tokens, src_mask))
    is_changed = (decoded[1] != gold).any(2)
    is_symbol = batch.tgt_tokens[:, :-1] > EOS
    assert not (is_changed & ~is_symbol).any(), "BOS, EOS or padding was replaced"
    assert 0.35 < (is_changed & is_symbol).sum() / is_symbol.sum() < 0.5
    for row, place in is_changed.nonzero().tolist():
        symbols = (inputs[row] == decoded[1][row, place]).all(1)
        assert (symbols & allowed[row, place - 1]).any(), "it was not among the allowed symbols"


@pytest.mark.parametrize("bf16", [False, True])
def test_all_weights_learn_from_drawn_prefixes(bf16: bool, make_model, make_batch) -> None:
    """Also those of which a copy in bfloat16 was made by the pass that draws."""
    model = make_model("scratch:tiny", PointerConfig(dropout=0.0, sampled_prefix=0.5)).train()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        model(*make_batch(model))["loss"].backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters()}
    without = [name for name, gradient in gradients.items() if gradient is None or not gradient.any()]
    assert not [name for name in without if not name.endswith("k_proj.bias")], "a bias of all keys changes nothing"


def test_draws_follow_the_probabilities(make_model) -> None:
    model = make_model("scratch:tiny", PointerConfig(dropout=0.0, sampled_prefix=0.999))
    probabilities = torch.tensor([0.1, 0.0, 0.2, 0.7])
    target = torch.zeros(1, 20_001, model.backbone.hidden_size)
    rows, is_symbol = torch.tensor([[0, 1, 2, 3]]), torch.ones(1, 20_000, dtype=torch.bool)
    score = lambda _: probabilities.log().expand(1, 20_001, 4)  # noqa: E731
    mixed = model._mix_in_drawn(target, score, rows, is_symbol)
    table = model.backbone.embed(torch.arange(4))
    share = [(mixed[0, 1:] == table[row]).all(1).float().mean().item() for row in (2, 3)]
    assert share == pytest.approx([0.2, 0.7], abs=0.02), "BOS, 0, is not taken, and EOS is not drawn"


@SPECS
@pytest.mark.parametrize("decoder_type", DECODER_TYPES)
@pytest.mark.parametrize("encoder_mlp", [True, False])
def test_an_untrained_model_guesses(spec: str, decoder_type: str, encoder_mlp: bool, make_model, make_batch) -> None:
    model = make_model(spec, PointerConfig(decoder_type=decoder_type, encoder_mlp=encoder_mlp, dropout=0.0))
    batch = make_batch(model, 8)
    output = model(*batch)
    n_legal = (output["logits"][:, 0] > LOWEST).sum(1).float().log().mean().item()
    assert abs(output["loss"].item() - n_legal) < 2.0
