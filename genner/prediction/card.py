"""The model card: what a shared model is, where it comes from and how well it does, from recorded facts only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from genner.data.labels import LabelSet
from genner.evaluation.spread import mean_text, score_text
from genner.evaluation.tables import Table, fenced, markdown_table, markdown_text
from genner.evaluation.terminal import Style, render_sentence, visible
from genner.prediction.results import TextResult
from genner.prediction.scores import ModelCalibration

__all__ = ["CardFacts", "Stated", "model_card"]

LIBRARY = "genner"
_UNKNOWN = "not stated"
_MEASURES = {
    "pre": "precision", "rec": "recall", "f": "F1", "strict_f": "F1, strict", "em": "sentences without a mistake",
}  # fmt: skip
_KINDS = {
    "flat": "flat entities: none shares a word with another",
    "nested": "nested entities: one may lie within another",
    "discontinuous": "discontinuous entities: they may have gaps, and overlap",
}
_COUNTS = ("sentences", "words", "entities", "nested", "discontinuous")
_WIDTH = 96


@dataclass(frozen=True)
class Stated:
    """What only the author of the model can state; empty if not stated.

    Attributes:
        license: of the model, as the hub spells it, such as ``apache-2.0``.
        data_license: of the training data.
        language: code of the language, such as ``en``.
        datasets: their ids on the hub.
    """

    license: str = ""
    data_license: str = ""
    language: str = ""
    datasets: tuple[str, ...] = ()


@dataclass(frozen=True)
class CardFacts:
    """The facts of a card.

    Attributes:
        name: to load the model by: a hub id, or the name of its folder.
        labels: types and their words.
        kind: what entities look like.
        formulation: how they are found.
        recipe: the resolved recipe, without local paths; empty if it is not known.
        example: what the model found in an invented text.
        language: of the rules for words in that text, spaCy's code.
        stated: by the author.
        seed: ``result.json`` of the model's seed, if there is one.
        run: ``result.json`` of its run, if there is one.
        calibration: what ``calibration.json`` says.
        versions: of the libraries that wrote the weights.
    """

    name: str
    labels: LabelSet
    kind: str
    formulation: str
    recipe: Mapping[str, Any]
    example: TextResult
    language: str = "en"
    stated: Stated = Stated()
    seed: Mapping[str, Any] | None = None
    run: Mapping[str, Any] | None = None
    calibration: ModelCalibration = field(default_factory=ModelCalibration)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name without its owner."""
        return self.name.rpartition("/")[2]

    @property
    def datasets(self) -> list[str]:
        """What it was trained on: ids on the hub where they are stated, else the name in the recipe."""
        return list(self.stated.datasets) or [str(self.recipe.get("dataset", _UNKNOWN))]


def model_card(facts: CardFacts) -> str:
    """``README.md`` of a shared model: metadata for the hub, then Markdown."""
    blocks = [f"---\n{_metadata(facts)}\n---", f"# {markdown_text(facts.title)}", *_what_it_is(facts)]
    blocks += ["## Types", markdown_table(_labels_table(facts.labels)), "## Use", *_use(facts), "## Scores"]
    blocks += [*_scores(facts), "## Confidence", *_confidence(facts.calibration), "## Data", *_data(facts)]
    blocks += ["## Training", *_training(facts), "## Licence", *_licences(facts.stated), "## Versions"]
    blocks.append(", ".join(f"{markdown_text(name)} {markdown_text(value)}" for name, value in facts.versions.items()))
    return "\n\n".join(filter(None, blocks)) + "\n"


def _metadata(facts: CardFacts) -> str:
    """What the hub reads, as YAML."""
    from huggingface_hub import EvalResult, ModelCardData  # late: it takes long to import

    scores = (facts.seed or {}).get("test") or {}
    dataset = facts.datasets[0]
    metrics = [("f1", "F1", "f"), ("precision", "precision", "pre"), ("recall", "recall", "rec")]
    results = [
        EvalResult(
            task_type="token-classification",
            task_name="Named entity recognition",
            dataset_type=dataset,
            dataset_name=dataset,
            dataset_split="test",
            metric_type=kind,
            metric_name=name,
            metric_value=round(scores[key] / 100, 4),
        )
        for kind, name, key in metrics
        if key in scores
    ]
    backbone = str(facts.recipe.get("backbone", ""))
    data = ModelCardData(
        language=facts.stated.language or None,
        license=facts.stated.license or None,
        library_name=LIBRARY,
        pipeline_tag="token-classification",
        tags=["named-entity-recognition", "ner", f"{facts.kind}-ner", LIBRARY],
        datasets=list(facts.stated.datasets) or None,  # the hub makes links of them
        base_model=backbone if _is_of_the_hub(backbone) else None,
        metrics=[kind for kind, _, key in metrics if key in scores] or None,
        model_name=facts.title,
        eval_results=results or None,
    )
    return data.to_yaml().strip()


def _is_of_the_hub(backbone: str) -> bool:
    return backbone.count("/") == 1 and not backbone.startswith(("/", ".", "~"))


def _what_it_is(facts: CardFacts) -> Iterator[str]:
    recipe = facts.recipe
    target = (facts.run or {}).get("target")
    dataset, backbone = (markdown_text(str(recipe.get(key, _UNKNOWN))) for key in ("dataset", "backbone"))
    formulation = markdown_text(facts.formulation + (f" with {target} targets" if target else ""))
    yield (
        f"A named entity recogniser, trained with GenNER on {dataset}. It finds {_KINDS.get(facts.kind, 'entities')}. "
        f"Backbone: {backbone}. Formulation: {formulation}."
    )
    yield f"Language: {markdown_text(facts.stated.language or _UNKNOWN)}."


def _labels_table(labels: LabelSet) -> Table:
    return Table("", ["type", "words that stand for it"], list(zip(labels.tags, labels.words, strict=True)), n_left=2)


def _use(facts: CardFacts) -> Iterator[str]:
    result = facts.example
    yield "With GenNER installed:"
    option = f", language={facts.language!r}" if facts.language != "en" else ""
    call = f"ner = load({facts.name!r}{option})\nresult = ner({result.text!r})"
    lines = "for entity in result:\n    print(entity.type, entity.text, round(entity.score, 2))"
    yield fenced(f"from genner import load\n\n{call}\n{lines}", "python")
    found = [f"{visible(one.type)} {visible(one.text)} {round(one.score, 2)}" for one in result]
    yield "This prints:" if found else "This model finds nothing in that text."
    if found:
        yield fenced("\n".join(found))
        entities = [entity.words for entity in result]
        yield fenced(render_sentence(result.raw_words, entities, Style(width=_WIDTH, labels=facts.labels.tags)))


def _scores(facts: CardFacts) -> Iterator[str]:
    """The scores of this model, and of all seeds of its run."""
    if facts.seed is None:
        yield "Not known: the model was shared without its training results."
        return
    run = facts.run or {}
    n_ok = run.get("n_ok", 0)
    splits = [split for split in ("dev", "test") if facts.seed.get(split)]
    rows = []
    for split in splits:
        for key, name in _MEASURES.items():
            if key in facts.seed[split]:
                spread = {part: run.get(part, {}).get(f"{split}_{key}") for part in ("mean", "std")}
                rows.append([f"{split} {name}", score_text(facts.seed[split][key]), mean_text(spread)])
    seed = facts.seed.get("seed", "?")
    if n_ok > 1:
        yield markdown_table(Table("", ["percent", f"this model (seed {seed})", f"mean ± std of {n_ok} seeds"], rows))
    else:
        yield markdown_table(Table("", ["percent", f"this model (seed {seed})"], [row[:2] for row in rows]))
        yield "One seed was trained, so the deviation between seeds is not known."
    reasons = {"n_collapsed": "collapsed", "n_failed": "failed"}
    left_out = [f"{run[key]} {what}" for key, what in reasons.items() if run.get(key)]
    if left_out:
        yield f"Of the seeds of this run, {' and '.join(left_out)}; the mean does not include them."
    yield (
        "An entity is right if its type and all of its words are; *strict* counts repeated and malformed ones as wrong."
    )
    if splits:
        yield from _groups(facts.seed[splits[-1]], splits[-1])


def _groups(scores: Mapping[str, Any], split: str) -> Iterator[str]:
    """Scores by type and by structure."""
    for title, key in ((f"{split}, by type", "per_label"), (f"{split}, by structure", "subsets")):
        groups = scores.get(key) or {}
        rows = [
            [name, *(score_text(group.get(measure)) for measure in ("pre", "rec", "f")), str(group.get("support", "-"))]
            for name, group in groups.items()
        ]
        if rows:
            yield markdown_table(Table("", [title, "precision", "recall", "F1", "entities"], rows))


def _confidence(calibration: ModelCalibration) -> Iterator[str]:
    if not calibration.scores:
        yield "Scores are those of the model, from 0 to 1; they are not calibrated, so they are not probabilities."
        return
    yield "Scores are calibrated: a score estimates how often such an entity is right."
    rows = [
        [
            str(one.kind),
            f"{one.fitted_on.name} ({one.fitted_on.sentences} sentences)",
            f"{one.ece_before:.4f}",
            f"{one.ece_after:.4f}",
        ]
        for one in calibration.scores
    ]
    header = ["scores", "fitted on", "expected calibration error before", "after, on the same data"]
    yield markdown_table(Table("", header, rows, n_left=2))
    yield (
        "Entities whose scores are below these least scores are left out unless `min_score` is given (0 gives all): "
        + "; ".join(f"{one.kind}: {markdown_text(str(one.least))}" for one in calibration.scores)
        + "."
    )
    if calibration.misses is not None:
        on, least = calibration.misses.fitted_on, calibration.misses.risk.reachable
        if least < 1:
            yield (
                f"`load(..., alpha=...)`, from {least:.4f} on, keeps the average share of missed entities below alpha, "
                f"on data like {markdown_text(on.name)} ({on.sentences} sentences)."
            )


def _data(facts: CardFacts) -> Iterator[str]:
    recipe = facts.recipe
    yield f"Data set: {', '.join(map(markdown_text, facts.datasets))}. It is not included."
    data = recipe.get("data") or {}
    if data.get("limit"):
        yield f"Only the first {data['limit']} sentences of every split were used."
    if data.get("train_on_dev"):
        yield "The model was trained on train and dev."
    fingerprint = (facts.run or {}).get("fingerprint") or {}
    if not fingerprint:
        yield "Counts and digests of the data are not known: the model was shared without the results of its run."
        return
    rows = []
    for split, counts in fingerprint.items():
        numbers = [f"{counts[name]:,}" if name in counts else "-" for name in _COUNTS]
        rows.append([split, *numbers, str(counts.get("sha256", "-"))[:16]])
    yield markdown_table(Table("", ["split", *_COUNTS, "SHA-256 (beginning)"], rows))


def _training(facts: CardFacts) -> Iterator[str]:
    recipe, seed = facts.recipe, facts.seed or {}
    optim, training, batching = (recipe.get(key) or {} for key in ("optim", "training", "batching"))
    settings = {
        "epochs": training.get("epochs"),
        "learning rate": optim.get("lr"),
        "schedule": optim.get("schedule"),
        "batch": f"{batching.get('size')} {batching.get('by')}" if batching else None,
        "best epoch": seed.get("best_epoch"),
        "training time": f"{seed['train_seconds'] / 60:.0f} minutes" if "train_seconds" in seed else None,
    }
    given = {name: value for name, value in settings.items() if value is not None}
    rows = [[name, f"{value:g}" if isinstance(value, float) else str(value)] for name, value in given.items()]
    yield markdown_table(Table("", ["setting", "value"], rows, n_left=2))
    yield "`recipe.yaml` holds all settings; with the data, `genner train --recipe recipe.yaml` repeats the training."


def _licences(stated: Stated) -> Iterator[str]:
    model, data = (markdown_text(one or _UNKNOWN) for one in (stated.license, stated.data_license))
    yield f"- Model: {model}\n- Data: {data}"
    if not (stated.license and stated.data_license):
        yield "This page grants no rights beyond what is stated: ask whoever shared the model."
