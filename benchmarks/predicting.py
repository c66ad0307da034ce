"""Predicting real splits: a plain implementation / ours, and ours / a BIO tagger (``python -m benchmarks.predicting``).

All sides start with piece ids and end with entities; the encoder is included in every time. All are forced to find the
gold entities (:mod:`benchmarks.guided`), and the benchmark checks that they do. ``--sentences 0`` uses the whole test
splits instead of the first sentences of each.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch

from benchmarks.command import Measure, Settings, run_benchmark, run_command
from benchmarks.guided import GuidedModel
from benchmarks.models import Shape, pointer_task
from benchmarks.plain import PlainPredictor
from benchmarks.splits import SPLITS, EvaluationSplit, open_split
from benchmarks.tagger import BioTagger, flat_entities
from benchmarks.timing import Side, compare, interleave
from genner.data.schema import Entity
from genner.formulations.pointer.task import PointerTask
from genner.training.evaluation import predict

__all__ = ["Sides", "main", "measure", "predict_ours"]

_BATCH = 32
_BEAMS = 4
_N_SENTENCES, _N_QUICK = 320, 8
_GOALS = {"row_steps": 1.1, "greedy": 5.0, "beams": 8.0, "tagger": 2.0}


def predict_ours(task: PointerTask, split: EvaluationSplit, batch_size: int) -> list[list[Entity]]:
    """Entities of every sentence, in file order, as in an evaluation."""
    batches = split.batches(split.longest_first(), batch_size)
    return [prediction.entities for prediction in predict(task, batches, len(split.rows))]


class Sides:
    """The sides of the comparison on one split; each checks that it has found the gold entities.

    Args:
        split: sentences and model.
        batch_size: sentences in a batch.
    """

    def __init__(self, split: EvaluationSplit, batch_size: int = _BATCH) -> None:
        self.split, self.batch_size = split, batch_size
        self.guided = GuidedModel(split.model, [row["tgt_tokens"] for row in split.longest_first()])
        self.gold = [split.codec.decode(row["tgt_tokens"], row["bounds"]).entities for row in split.rows]
        self.tagged = list(map(flat_entities, self.gold))
        self.tagger = BioTagger(split.model, split.codec.vocab.labels, self.tagged)
        self.longest = max(len(row["tgt_tokens"]) for row in split.rows)

    def ours(self, num_beams: int) -> Callable[[], None]:
        """Our prediction."""
        search = {"max_len": self.longest + 2, "num_beams": num_beams}
        task = pointer_task(self.guided, self.split.codec, self.split.structure, **search)

        def run() -> None:
            self.guided.restart()
            assert predict_ours(task, self.split, self.batch_size) == self.gold, (
                "internal error: ours left the gold targets"
            )

        return run

    def plain(self, num_beams: int, *, fast_linears: bool = False) -> Callable[[], None]:
        """The plain one; in file order."""
        predictor = PlainPredictor(self.split.model, self.split.codec, num_beams, fast_linears=fast_linears)
        targets = [row["tgt_tokens"] for row in self.split.rows]

        def run() -> None:
            ids, entities = predictor.predict(self.split.batches(self.split.rows, self.batch_size))
            assert ids == targets and entities == self.gold, "internal error: the plain side left the gold targets"

        return run

    def tag(self) -> None:
        """The tagger, on the batches of ours."""
        rows = self.split.longest_first()
        found = self.tagger.predict(self.split.batches(rows, self.batch_size))
        wanted = [self.tagged[row["example_idx"]] for row in rows]
        assert found == wanted, "internal error: the tagger left the gold tags"

    def encode(self) -> None:
        """The encoder alone, on the batches of ours."""
        backbone = self.split.model.backbone
        with torch.no_grad():
            for batch in self.split.batches(self.split.longest_first(), self.batch_size):
                places = torch.arange(batch["src_tokens"].shape[1])
                backbone.encode(batch["src_tokens"], places < batch["src_seq_len"].unsqueeze(1))


def measure(settings: Settings, n_sentences: int | None = _N_SENTENCES) -> list[Measure]:
    """All measures of all splits.

    Args:
        settings: of the measurement.
        n_sentences: first sentences of each split; None: all.
    """
    shape, n_sentences = (Shape.quick(), _N_QUICK) if settings.quick else (Shape(), n_sentences)
    splits = {name: open_split(name, shape, n_sentences) for name in SPLITS}
    measures = [found for name, split in splits.items() for found in _measure_split(split, name, settings)]
    return run_benchmark(__doc__, measures)


def _measure_split(split: EvaluationSplit, name: str, settings: Settings) -> list[Measure]:
    sides, rounds = Sides(split), settings.n_rounds(5)
    greedy = interleave(
        {"ours": sides.ours(1), "plain": sides.plain(1), "tagger": sides.tag, "encoder": sides.encode}, rounds=rounds
    )
    row_steps = sides.guided.n_row_steps / split.n_symbols
    beams = interleave({"ours": sides.ours(_BEAMS), "plain": sides.plain(_BEAMS)}, rounds=max(rounds // 2, 1), warmup=0)
    about = {"split": f"{split.name}, {split.describe()}"}
    found = [Measure(f"row_steps_{name}", row_steps, "ratio", _GOALS["row_steps"], about)]
    for kind, times, goal in (("greedy", greedy, _GOALS["greedy"]), (f"{_BEAMS}_beams", beams, _GOALS["beams"])):
        value, details = compare(times, "plain", "ours")
        speeds = {side: round(1000 * len(split.rows) / _milliseconds(times, side), 1) for side in ("ours", "plain")}
        found.append(Measure(f"{kind}_over_plain_{name}", value, "times", goal, details | {"sentences/s": speeds}))
    same_layers = interleave({"ours": sides.ours(1), "plain": sides.plain(1, fast_linears=True)}, rounds=1, warmup=0)
    value, _ = compare(same_layers, "plain", "ours")
    found.append(Measure(f"greedy_over_plain_same_layers_{name}", value, "times"))
    value, details = compare(greedy, "ours", "tagger")
    details["encoder alone"] = greedy["encoder"].to_dict("cpu")
    found.append(Measure(f"over_tagger_{name}", value, "ratio", _GOALS["tagger"], details))
    return found


def _milliseconds(sides: Mapping[str, Side], name: str) -> float:
    """Median of a side."""
    return sides[name].to_dict("cpu")["median_ms"]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table and write the JSON file."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--sentences", type=int, default=_N_SENTENCES)
    options, rest = parser.parse_known_args(argv)
    run_command("predicting", partial(measure, n_sentences=options.sentences or None), __doc__, rest)


if __name__ == "__main__":
    main()
