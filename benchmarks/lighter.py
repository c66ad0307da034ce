"""Lighter forms of a trained model on a CPU: how much faster, and whether they find the same entities.

``python -m benchmarks.lighter --model runs/<dataset>/<run>/best`` reads the test split of the model's recipe. Without
``--model`` a demo model is trained first, for a minute. A form is worth using if it is faster and finds exactly the
same entities (spans and labels) as float32 in every sentence.
"""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.command import Measure, Settings, run_benchmark, run_command
from benchmarks.timing import compare, interleave
from genner.app.corpus import check_corpus, open_corpus
from genner.commands import train
from genner.config import load_recipe
from genner.data.schema import Example
from genner.evaluation.span_f1 import SpanF1
from genner.formulations import formulation_class
from genner.formulations.base import Task
from genner.formulations.opening import open_task
from genner.model.folder import ModelFolder
from genner.model.linear import FORMS
from genner.training.evaluation import predict, score
from genner.training.predictions import Prediction

__all__ = ["main", "measure"]

_BATCH = 32
_N_SENTENCES, _N_QUICK, _N_ALONE = 600, 12, 60
_FORMS = [form for form in FORMS if form != "float32"]


class _Forms:
    """A task per form, and the sentences for all of them."""

    def __init__(self, folder: Path, n_sentences: int) -> None:
        recipe = load_recipe(folder / "recipe.yaml")
        corpus, labels, _ = check_corpus(recipe, open_corpus(recipe))
        rows = formulation_class(recipe.formulation)(recipe).encode(corpus, labels).splits["test"].rows
        chosen = [rows[idx] for idx in range(min(n_sentences, len(rows)))]
        self.rows = sorted(chosen, key=lambda row: -row["src_seq_len"])
        self.examples: Sequence[Example] = corpus.examples["test"][: len(self.rows)]
        model = ModelFolder.read(folder)
        self.tasks: Mapping[str, Task] = {form: open_task(model, "cpu", {"form": form}) for form in FORMS}

    def predict(self, form: str) -> list[Prediction]:
        """One prediction per sentence, in the order of the split."""
        starts = range(0, len(self.rows), _BATCH)
        task = self.tasks[form]
        batches = (task.collate(self.rows[start : start + _BATCH]) for start in starts)
        return predict(task, batches, len(self.examples), title=form)

    def predict_alone(self, form: str) -> None:
        """Some sentences of all lengths, one by one."""
        for row in self.rows[:: max(len(self.rows) // _N_ALONE, 1)]:
            list(self.tasks[form].predict([self.tasks[form].collate([row])]))

    def spans(self, form: str) -> tuple[list[list[Any]], float]:
        """Entities of every sentence, in the order of the split, and their F1."""
        found = self.predict(form)
        scores = score(SpanF1(), self.examples, found)
        return [sorted((entity.label, *entity.flat) for entity in one.entities) for one in found], scores["f"]


def measure(settings: Settings, model: Path | None = None) -> list[Measure]:
    """Time every form on whole batches and on sentences one by one, and compare what they find."""
    if model is None:
        with tempfile.TemporaryDirectory() as folder:
            return measure(settings, _train_demo(Path(folder), settings.quick))
    forms = _Forms(model, _N_QUICK if settings.quick else _N_SENTENCES)
    spans = {form: forms.spans(form) for form in FORMS}
    sides: dict[str, Callable[[], object]] = {form: partial(forms.predict, form) for form in FORMS}
    batches = interleave(sides, rounds=settings.n_rounds(5))
    sides = {form: partial(forms.predict_alone, form) for form in FORMS}
    alone = interleave(sides, rounds=settings.n_rounds(5))
    measures = []
    for form in _FORMS:
        n_same = sum(ours == theirs for ours, theirs in zip(spans[form][0], spans["float32"][0], strict=True))
        details = {"sentences": len(forms.rows), "F1": spans[form][1], "F1 of float32": spans["float32"][1]}
        value, _ = compare(batches, "float32", form)
        measures.append(Measure(f"lighter_{form}", value, "times", None, details))
        value, _ = compare(alone, "float32", form)
        measures.append(Measure(f"lighter_{form}_one_by_one", value, "times"))
        measures.append(Measure(f"lighter_{form}_same_spans", n_same / len(forms.rows), "share", 1.0))
    return run_benchmark(__doc__, measures)


def _train_demo(folder: Path, quick: bool) -> Path:
    limit, epochs = (60, 1) if quick else (3000, 4)
    command = ["--runs_dir", str(folder), "--run_name", "lighter", "--limit", str(limit), f"training.epochs={epochs}"]
    train.main(command)
    return folder / "demo" / "lighter" / "best"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table and write the JSON file."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--model", type=Path, help="model folder, the best of a finished run")
    options, rest = parser.parse_known_args(argv)
    run_command("lighter", partial(measure, model=options.model), __doc__, rest)


if __name__ == "__main__":
    main()
