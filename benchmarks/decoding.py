"""Decoding: what constraint, pointer head and search cost beside the decoder (``python -m benchmarks.decoding``).

Random weights would write different sequences in every setting, so every side is forced to write the gold targets
(:mod:`benchmarks.guided`). Thus all run the same steps on the same rows and refill slots at the same steps. Sources are
encoded beforehand, once for all sides, with everything that is constant during decoding.

Bare: the decoder alone, on its cache. The search is recorded and replayed: the same rows are fed the same inputs, and
the same slots are refilled and dropped; the gold symbol is raised here, too, in a matrix of zeros.
Network: the decoder of transformers on its own cache, which cannot refill slots; it gets a single batch and drops rows
when the search does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache

from benchmarks.command import Measure, Settings, run_benchmark, run_command
from benchmarks.corpus import draw_sentences
from benchmarks.guided import GuidedModel, raise_gold
from benchmarks.models import LENGTHS, Shape, cache_argument
from benchmarks.splits import EvaluationSplit, invented_split, open_split
from benchmarks.timing import compare, interleave
from genner import patches  # noqa: F401  before fastNLP
from genner.model.generation import AnyPiece, GenerationConfig, PointerConstraint, PreparedBatch, search_all
from genner.model.stepping import BartStepper, StepCache
from genner.training.evaluation import to_device

__all__ = ["main", "measure"]

_GOAL_CONSTRAINT, _GOAL_BARE = 1.05, 1.08
_BATCH, _N_SENTENCES, _ONE_BATCH = 64, 320, 32
_BEAMS = 4
# The kind of entities for which the constraint does the most work.
_STRUCTURES = {"constrained": "discontinuous", "unconstrained": None}
_GIVE_UP = 0.3


@dataclass
class _RecordedCache(StepCache):
    """A cache that records its operations."""

    script: list[tuple[str, tuple]] = field(default_factory=list)

    def select(self, *args: Any) -> None:
        self.script.append(("select", args))
        super().select(*args)

    def refill(self, *args: Any) -> None:
        self.script.append(("refill", args))
        super().refill(*args)

    def reserve(self, *args: Any) -> None:
        self.script.append(("reserve", args))
        super().reserve(*args)


class _RecordingStepper(BartStepper):
    """The decoder of the model, recording its inputs."""

    def __call__(self, inputs: Tensor, cache: _RecordedCache, positions: Tensor) -> Tensor:
        cache.script.append(("step", (inputs, positions)))
        return super().__call__(inputs, cache, positions)


class _Decoding:
    """The sides of the comparison, on the sentences of a split."""

    def __init__(self, split: EvaluationSplit, device: str) -> None:
        self.split, self.model = split, split.model.to(device)
        rows = split.longest_first()
        self.targets = [row["tgt_tokens"] for row in rows]
        self.max_len = max(map(len, self.targets))
        self.guided = GuidedModel(self.model, self.targets)
        self.batches = [to_device(batch, torch.device(device)) for batch in split.batches(rows, _BATCH)]
        self.encoded = [self.guided.start(batch["src_tokens"], batch["src_seq_len"]) for batch in self.batches]

    def ours(self, structure: str | None, num_beams: int = 1, **options: Any) -> Callable[[], None]:
        """A search; without a structure it is unconstrained."""
        n_labels = self.split.n_labels
        constraint = AnyPiece(n_labels) if structure is None else PointerConstraint("word", n_labels, structure)
        config = GenerationConfig(max_len=self.max_len, num_beams=num_beams, **options)
        return partial(self._search, constraint, config, StepCache)

    def bare(self) -> Callable[[], None]:
        """The decoder alone."""
        return partial(self._replay, self._script())

    def network(self) -> Callable[[], None]:
        """The decoder of transformers alone; for one batch."""
        (batch,) = self.batches
        backbone, src_tokens = self.model.backbone, batch["src_tokens"]
        positions = torch.arange(src_tokens.shape[1], device=src_tokens.device)
        src_mask = positions < batch["src_seq_len"].unsqueeze(1)
        memory, mask = backbone.encode(src_tokens, src_mask), src_mask.long()
        script = [entry for entry in self._script() if entry[0] != "reserve"]
        # Keys and values of the sources are computed beforehand, in a first step, as ours are.
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self._decode(script[:1], cache, memory, mask)
        sources = cache.cross_attention_cache
        return lambda: self._decode(script, EncoderDecoderCache(DynamicCache(), deepcopy(sources)), memory, mask)

    def _search(
        self, constraint: AnyPiece | PointerConstraint, config: GenerationConfig, cache: type[StepCache]
    ) -> list:
        """Decode all sentences; return what was recorded, if the cache records."""
        first = deepcopy(self.encoded[0])  # the slots of the first batch are overwritten
        first.cache = cache(**vars(first.cache))
        states = [first, *self.encoded[1:]]
        found = dict(search_all(self.guided, self._prepared(constraint, states), config))
        ids = [found[number][0].ids for number in range(len(self.targets))]
        assert ids == self.targets, "internal error: the search left the gold targets"
        return getattr(first.cache, "script", [])

    def _prepared(self, constraint: AnyPiece | PointerConstraint, states: list) -> Iterator[PreparedBatch]:
        backbone = self.model.backbone
        for batch, state in zip(self.batches, states, strict=True):
            src_tokens = batch["src_tokens"]
            limits, width = torch.full((len(src_tokens),), self.max_len), src_tokens.shape[1]
            sizes = batch["first"], batch["rows"].lens, backbone.lead, backbone.tail, limits, width
            yield PreparedBatch(state, constraint.start(*sizes), limits, src_tokens.device)

    def _script(self) -> list:
        self.model.backbone.stepper_class = _RecordingStepper
        script = self._search(AnyPiece(self.split.n_labels), GenerationConfig(max_len=self.max_len), _RecordedCache)
        del self.model.backbone.stepper_class
        return script

    @torch.no_grad()
    def _replay(self, script: list) -> None:
        stepper, cache = self.model.backbone.stepper, deepcopy(self.encoded[0]).cache  # ours is copied, too
        device = self.guided.targets.device
        no_logits, sentences = torch.zeros(_BATCH, 64, device=device), torch.arange(_BATCH, device=device)
        for name, args in script:
            if name == "step":
                inputs, positions = args
                stepper(inputs, cache, positions)
                cache.advance(positions[:, 0] + 1, 1)
                gold = self.guided.gold_at(sentences[: len(positions)], positions[:, 0])
                raise_gold(no_logits[: len(positions)], gold % no_logits.shape[1])
            else:
                getattr(cache, name)(*args)

    @torch.no_grad()
    def _decode(self, script: list, cache: EncoderDecoderCache, memory: Tensor, mask: Tensor) -> None:
        for name, args in script:
            if name == "select":
                rows = args[1]
                cache.reorder_cache(rows)
                memory, mask = memory[rows], mask[rows]
            else:
                self.model.backbone.network.decoder(
                    inputs_embeds=args[0],
                    encoder_hidden_states=memory,
                    encoder_attention_mask=mask,
                    **cache_argument(cache),
                    use_cache=True,
                )


def measure(settings: Settings) -> list[Measure]:
    """Time greedy search, beam search and the bare decoders."""
    shape, n_sentences = (Shape.quick(), _BATCH + 4) if settings.quick else (Shape(), _N_SENTENCES)
    device, rounds = settings.device, settings.n_rounds(25)
    many = _Decoding(open_split("genia_subset", shape, n_sentences), device)
    one = _Decoding(invented_split(draw_sentences(_ONE_BATCH, LENGTHS, seed=12), shape), device)
    sides = {name: many.ours(structure) for name, structure in _STRUCTURES.items()} | {"bare": many.bare()}
    sides |= {
        "giving up": many.ours("discontinuous", give_up=_GIVE_UP),
        "masked": many.ours("discontinuous", masked=True),
    }
    greedy = interleave(sides, rounds=rounds, device=device)
    alone = interleave(
        {"constrained": one.ours("discontinuous"), "network": one.network()}, rounds=rounds, device=device, warmup=2
    )
    sides = {name: many.ours(structure, _BEAMS) for name, structure in _STRUCTURES.items()}
    beams = interleave(sides, rounds=max(rounds // 3, 2), device=device)
    measures = []
    for name, found, side, other, goal, decoding in (
        ("decoding_constraint", greedy, "constrained", "unconstrained", _GOAL_CONSTRAINT, many),
        ("decoding_masked", greedy, "masked", "unconstrained", _GOAL_CONSTRAINT, many),
        ("decoding_give_up", greedy, "giving up", "unconstrained", _GOAL_CONSTRAINT, many),
        (f"decoding_constraint_{_BEAMS}_beams", beams, "constrained", "unconstrained", _GOAL_CONSTRAINT, many),
        ("constraint_and_head", greedy, "constrained", "bare", _GOAL_BARE, many),
        ("decoding_over_network", alone, "constrained", "network", None, one),
    ):
        value, details = compare(found, side, other, device)
        measures.append(Measure(name, value, "ratio", goal, details | {"split": decoding.split.describe()}))
    return run_benchmark(__doc__, measures)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table and write the JSON file."""
    run_command("decoding", measure, __doc__, argv)


if __name__ == "__main__":
    main()
