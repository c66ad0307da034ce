"""The search against the symbols recorded from the reference implementation: greedy, and 4 beams at three penalties.

Greedy runs with a length penalty are left out: there the reference writes scores to shifted positions.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from genner.model.generation import AnyPiece, GenerationConfig, PreparedBatch, search_all
from genner.model.pointer import PointerConfig, PointerModel
from genner.model.sources import load_backbone

# pytest's import mode gives test folders no package to import a neighbour from.
_SPEC = importlib.util.spec_from_file_location("reference_weights", Path(__file__).with_name("reference_weights.py"))
reference_weights = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(reference_weights)

KINDS = ("flat", "nested", "disc")
RUNS = [(1, 1.0), (4, 1.0), (4, 0.8), (4, 1.5)]
N_SENTENCES = 32
EOS = 1


@functools.cache
def recorded(folder: Path, kind: str) -> dict:
    return json.loads((folder / f"generation_{kind}.json").read_text(encoding="utf-8"))


@functools.cache
def batch_of_all(folder: Path, kind: str) -> dict[str, Tensor]:
    with np.load(folder / f"generation_{kind}.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in ("src_tokens", "first", "src_seq_len")}


@functools.cache
def trained_model(folder: Path, kind: str) -> PointerModel:
    pipe = json.loads((folder / f"pipe_{kind}.json").read_text(encoding="utf-8"))
    words = [pipe["tag_to_token"][tag][2:-2] for tag in pipe["tag_to_index"]]
    backbone = load_backbone(str(folder / "inputs" / "bart_tiny"), dropout=0.0)
    model = PointerModel(backbone, words, PointerConfig("avg_feature", True, 0.0, compat=True))
    reference_weights.load_recorded_weights(model, folder / f"weights_{kind}.npz")
    return model.eval()


def decode(folder: Path, kind: str, config: GenerationConfig, rows: slice) -> list[list[int]]:
    """Symbols of every sentence, padded as the recorded ones."""
    model, fields = trained_model(folder, kind), batch_of_all(folder, kind)
    lengths = fields["src_seq_len"][rows]
    src_tokens = fields["src_tokens"][rows, : lengths.max()]
    limits = config.limits(lengths)
    constraint = AnyPiece(model.n_labels).start(fields["first"][rows], lengths, 1, 1, limits)
    batch = PreparedBatch(model.start(src_tokens, lengths), constraint, limits)
    found = dict(search_all(model, [batch], config))
    width = max(len(hypotheses[0].ids) for hypotheses in found.values())
    ids = (found[number][0].ids for number in range(len(lengths)))
    return [[*row, *[EOS] * (width - len(row))] for row in ids]


def config_of(folder: Path, kind: str, num_beams: int, length_penalty: float) -> GenerationConfig:
    about = recorded(folder, kind)
    return GenerationConfig(
        max_len=about["max_length"],
        max_len_ratio=about["max_len_a"],
        num_beams=num_beams,
        length_penalty=length_penalty,
        constrained=False,
        compat=True,
    )


@pytest.mark.parametrize("batch_size", [32, 8])
@pytest.mark.parametrize(("num_beams", "length_penalty"), RUNS)
@pytest.mark.parametrize("kind", KINDS)
def test_recorded_symbols(parity_dir: Path, kind: str, num_beams: int, length_penalty: float, batch_size: int) -> None:
    wanted = {"num_beams": num_beams, "length_penalty": length_penalty, "batch_size": batch_size}
    runs = [run for run in recorded(parity_dir, kind)["runs"] if wanted.items() <= run.items()]
    assert len(runs) == 1
    config = config_of(parity_dir, kind, num_beams, length_penalty)
    starts = range(0, N_SENTENCES, batch_size)
    assert len(runs[0]["pred"]) == len(starts)
    for start, pred in zip(starts, runs[0]["pred"], strict=True):
        assert decode(parity_dir, kind, config, slice(start, start + batch_size)) == pred
