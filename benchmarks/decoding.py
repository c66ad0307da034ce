"""Decoding: constrained / unconstrained, and ours / the bare decoder (``python -m benchmarks.decoding``).

Random weights would write different sequences in every setting, so all of them are made to write the gold targets: the
score of the gold symbol is raised at every step. Thus each runs the same steps with the same rows, and rows leave the
batch at the same steps. The source is encoded beforehand, once for all.

Bare: the network's decoder with its cache, fed the gold inputs symbol by symbol, on the same rows at every step; the
cache drops the finished rows when the search does. Ours is the whole search with everything that it needs besides:
scores of all symbols, constraint, choice, log-probabilities, and the answer as plain numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

import patches  # noqa: F401  before fastNLP
from benchmarks.command import Measure, Settings, run_benchmark, run_command
from benchmarks.corpus import LABELS
from benchmarks.models import Shape, Workload
from benchmarks.timing import compare, interleave
from model.decode_state import DecodeState
from model.generation import AnyPiece, GenerationConfig, PointerConstraint, search
from model.pointer import PointerModel

__all__ = ["main", "measure"]

_GOAL = 1.05
_LEAD_OF_GOLD = 1e4
_BEAMS = 4
# The kind of entities that takes the constraint most work.
_STRUCTURES = {"constrained": "discontinuous", "unconstrained": None}


@dataclass(frozen=True)
class _Guided:
    """The model with the gold symbol of every step raised above all others.

    Attributes:
        model: scores.
        targets: (B, T) gold symbols, padded with EOS.
        rows_at: if not None, gets the number of rows of every step.
    """

    model: PointerModel
    targets: Tensor
    rows_at: list[Tensor] | None = None

    def step(self, symbols: Tensor, state: DecodeState) -> Tensor:
        """As the model's, with the gold column raised."""
        if self.rows_at is not None:
            self.rows_at.append(state.sentence_idx)
        logits = self.model.step(symbols, state)
        gold = self.targets[:, state.n_steps].index_select(0, state.sentence_idx)
        return logits.scatter_add(1, gold.unsqueeze(1), logits.new_full((len(gold), 1), _LEAD_OF_GOLD))


class _Decoding:
    """The sides of the comparison on one workload."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.model = workload.model.eval()
        self.targets = workload.batch["tgt_tokens"]
        self.limits = GenerationConfig(max_len=int(workload.batch["tgt_seq_len"].max())).limits(workload.sources[1])
        self.encoded = self.model.start(*workload.sources)

    def ours(self, structure: str | None, num_beams: int = 1) -> Callable[[], object]:
        """A search; without a structure it is unconstrained."""
        constraint = AnyPiece(len(LABELS)) if structure is None else PointerConstraint("word", len(LABELS), structure)
        config = GenerationConfig(max_len=int(self.limits.max()), num_beams=num_beams)
        return lambda: self._search(constraint, config, _Guided(self.model, self.targets))

    def bare(self) -> Callable[[], object]:
        """The network's decoder alone on the rows that the search has at each step."""
        rows_at: list[Tensor] = []
        config = GenerationConfig(max_len=int(self.limits.max()))
        self._search(AnyPiece(len(LABELS)), config, _Guided(self.model, self.targets, rows_at))
        inputs, memory, mask = self.workload.inputs, self.encoded.memory, self.workload.src_mask.long()
        # For every step the fed symbols, and which rows of the step before it are still there; None: all.
        steps = [(inputs[:, :1], None)]
        for number, (before, rows) in enumerate(pairwise(rows_at), 1):
            kept = None if len(rows) == len(before) else torch.isin(before, rows).nonzero().squeeze(1)
            steps.append((inputs[rows, number : number + 1], kept))
        return lambda: self._decode(steps, memory, mask)

    def _search(self, constraint: AnyPiece | PointerConstraint, config: GenerationConfig, guided: _Guided) -> None:
        batch, backbone = self.workload.batch, self.model.backbone
        state = replace(self.encoded, cache=backbone.new_cache())
        begin = constraint.start(batch["first"], batch["src_seq_len"], backbone.lead, backbone.tail, self.limits)
        found = search(guided, state, begin, config, self.limits)
        assert torch.equal(found.ids, self.targets), "internal error: the search left the gold targets"

    @torch.no_grad()
    def _decode(self, steps: list[tuple[Tensor, Tensor | None]], memory: Tensor, mask: Tensor) -> None:
        decoder, cache = self.model.backbone.network.decoder, self.model.backbone.new_cache()
        for inputs, kept in steps:
            if kept is not None:
                cache.reorder_cache(kept)
                memory, mask = memory[kept], mask[kept]
            decoder(
                input_ids=inputs,
                encoder_hidden_states=memory,
                encoder_attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
            )


def measure(settings: Settings) -> list[Measure]:
    """Time greedy search, beam search and the bare decoder."""
    device, rounds = settings.device, settings.n_rounds(25)
    decoding = _Decoding(Workload(Shape.quick() if settings.quick else Shape(n_sentences=32), device))
    batch = {"batch": decoding.workload.describe()}
    sides = {name: decoding.ours(structure) for name, structure in _STRUCTURES.items()} | {"bare": decoding.bare()}
    greedy = interleave(sides, rounds=rounds, device=device, warmup=2)
    sides = {name: decoding.ours(structure, _BEAMS) for name, structure in _STRUCTURES.items()}
    beams = interleave(sides, rounds=max(rounds // 3, 2), device=device)
    measures = []
    for name, found, other, goal in (
        ("decoding_constraint", greedy, "unconstrained", _GOAL),
        (f"decoding_constraint_{_BEAMS}_beams", beams, "unconstrained", _GOAL),
        ("decoding_over_bare", greedy, "bare", None),
    ):
        value, details = compare(found, "constrained", other, device)
        measures.append(Measure(name, value, "ratio", goal, details | batch))
    return run_benchmark(__doc__, measures)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table and write the JSON file."""
    run_command("decoding", measure, __doc__, argv)


if __name__ == "__main__":
    main()
