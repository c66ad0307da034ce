"""Training step: ours / the bare backbone's forward and backward (``python -m benchmarks.training_step``).

Ours: the model's forward with its loss, and its backward. Bare: forward and backward of the very same network, in
training mode like ours, for the same pieces and decoder inputs, without any head or loss: its last states get a
constant as their gradient. The optimizer is in neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

import patches  # noqa: F401  before fastNLP
from benchmarks.command import Measure, Settings, run_benchmark, run_command
from benchmarks.models import Shape, Workload
from benchmarks.timing import compare, interleave

__all__ = ["main", "measure"]

_GOAL = 1.15


def measure(settings: Settings) -> list[Measure]:
    """Time both steps in turns."""
    device = settings.device
    workload = Workload(Shape.quick() if settings.quick else Shape(), device)
    workload.model.train()
    sides = {"ours": _our_step(workload), "bare": _bare_step(workload)}
    found = interleave(sides, rounds=settings.n_rounds(15), device=device, warmup=2)
    value, details = compare(found, "ours", "bare", device)
    details["batch"] = workload.describe()
    return run_benchmark(__doc__, [Measure("training_step", value, "ratio", _GOAL, details)])


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table and write the JSON file."""
    run_command("training_step", measure, __doc__, argv)


def _our_step(workload: Workload) -> Callable[[], None]:
    model, batch = workload.model, workload.batch

    def step() -> None:
        model.zero_grad(set_to_none=True)
        model(batch["src_tokens"], batch["src_seq_len"], batch["tgt_tokens"])["loss"].backward()

    return step


def _bare_step(workload: Workload) -> Callable[[], None]:
    network = workload.model.backbone.network
    fields = {
        "input_ids": workload.batch["src_tokens"],
        "attention_mask": workload.src_mask.long(),
        "decoder_input_ids": workload.inputs,
        "use_cache": False,
    }
    width = workload.model.backbone.hidden_size
    gradient = workload.inputs.new_full((*workload.inputs.shape, width), 1e-3, dtype=torch.float32)

    def step() -> None:
        network.zero_grad(set_to_none=True)
        network(**fields).last_hidden_state.backward(gradient)

    return step


if __name__ == "__main__":
    main()
