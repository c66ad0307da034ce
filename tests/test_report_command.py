"""``genner report`` on run folders as training leaves them: reports, the table of many runs, the comparison of two."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genner.app.job import run_summary
from genner.app.prediction_files import load_result, read_predictions
from genner.app.results_table import find_runs
from genner.app.run_report import write_run_report
from genner.commands import report
from genner.data.schema import Entity, Example
from genner.errors import DataFormatError
from genner.evaluation.calibration import fit
from genner.evaluation.span_f1 import SpanF1, entity_surfaces
from genner.evaluation.spread import mean_text, spread_over_seeds
from genner.training.predictions import Prediction, write_predictions
from genner.training.results import RunInfo, failed_result, run_result

REPORTED = {"word": [92.61, 93.87, 93.24], "span": [92.31, 93.45, 92.88], "single_runs_f1": [93.18, 93.36]}
VERSIONS = {"python": "3.11", "numpy": "2"}


def examples(n: int = 60) -> list[Example]:
    """Invented sentences with flat, nested and discontinuous entities."""
    rng, rows = random.Random(11), []
    for _ in range(n):
        words = tuple(rng.choice(["plum", "fig", "pie", "and", "α_tart", "or"]) for _ in range(rng.randrange(6, 30)))
        spans = [[0, 2], [0, 1], [2, 3, 4, 5]][: rng.randrange(4)]
        rows.append(Example(words, tuple(Entity.from_flat(rng.choice(["FRUIT_%", "DISH"]), span) for span in spans)))
    return rows


def noisy(example: Example, rng: random.Random, quality: float) -> list[Entity]:
    """The gold entities with some of the mistakes that models make."""
    found = []
    for entity in example.entities:
        if rng.random() < quality:
            found.append(entity)
        elif rng.random() < 0.5:
            label = "DISH" if len(entity.segments) == 1 else entity.label
            found.append(Entity(label, entity.segments[:1]))
    return found + [Entity.from_flat("DISH", [5, 6])] * (rng.random() < 0.2)


def scores_of(predicted: list[Entity], rng: random.Random) -> list[float]:
    """Scores that say too little: the wrong predictions of :func:`noisy` are mostly dishes."""
    return [round(rng.betavariate(4, 4) * (0.5 if entity.label == "DISH" else 0.9), 6) for entity in predicted]


def make_seed(run: Path, seed: int, rows: list[Example], *, quality: float = 0.6, status: str = "ok") -> dict[str, Any]:
    """Judge and write the predictions of one seed with the code of training."""
    rng, metric = random.Random(seed), SpanF1(seen_surfaces=entity_surfaces(rows[::2]))
    found = [noisy(example, rng, quality) for example in rows]
    for example, predicted in zip(rows, found, strict=True):
        metric.update(example.entities, predicted, words=example.words)
    predictions = [Prediction(idx, predicted, scores_of(predicted, rng)) for idx, predicted in enumerate(found)]
    for split in ("dev", "test"):
        write_predictions(run / f"seed-{seed}" / f"predictions.{split}.jsonl", rows, predictions)
    scores = metric.compute().to_dict()
    return {
        "seed": seed, "status": status, "best_epoch": 2, "epochs": 3, "train_seconds": 60.0, "peak_memory_mb": 1.0,
        "dev": {}, "test": scores, "history": [], "attempts": [],
        "searches": {"default": compared(scores)},
    }  # fmt: skip


def compared(scores: dict[str, Any], **counts: int) -> dict[str, Any]:
    """A way of searching as results have it."""
    names = ("f", "pre", "rec", "strict_f", "em", "predicted", "rejected")
    return {name: scores[name] for name in names} | {"counts": counts}


def make_run(
    folder: Path, seeds: list[dict[str, Any]], *, unit: str = "word", reported: dict | None = None
) -> dict[str, Any]:
    """Write a run's ``run.json`` and ``result.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text("{}", "utf-8")
    result = {
        "dataset": folder.parent.name, "formulation": "pointer", "target": unit, "backbone": "scratch:tiny",
        "seeds": seeds,
        "mean": {}, "std": {}, "n_ok": 0, "n_collapsed": 0, "reported": reported or {}, "fingerprint": {},
        "command": "python train.py --dataset_name fruit", "versions": VERSIONS,
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result), "utf-8")
    return result


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of three seeds, one of them collapsed, with all that training may write."""
    folder, rows = tmp_path / "runs" / "fruit" / "word", examples()
    seeds = [make_seed(folder, seed, rows) for seed in (1, 2)]
    seeds.append(make_seed(folder, 3, rows, quality=0.02, status="collapsed"))
    history = [{"epoch": n, "loss": 1 / n, "seconds": 1.0, "test_f": 20.0 * n} for n in (1, 2, 3)]
    for number, seed in enumerate(seeds[:2]):
        seed["history"] = history
        scores, rejected = seed["test"], {"unaligned": 3, "order": 1, "odd": 2 * number}
        plain = scores | {"f": 60.0 + number, "predicted": 90}
        seed["plain"] = {"test": plain}
        seed["searches"] = {
            "default": compared(scores, forced=4, left_out=7 + number),
            "plain": compared(plain, forced=6, repeated=1, gap=2),
            "unconstrained": compared(scores | {"f": 70.0, "predicted": 95, "rejected": rejected}),
        }
    seeds[1]["attempts"] = [{"status": "collapsed", "reason": "F1 0.00 on dev", "epoch": 5}]
    make_run(folder, seeds, reported=REPORTED)
    return folder


def table_rows(markdown: str, title: str) -> dict[str, list[str]]:
    """The cells of a table by its first column."""
    lines = markdown.split(f"## {title}\n\n")[1].split("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]
    return {row[0].strip(): row[1:] for row in cells}


def test_the_report_of_a_run(run: Path) -> None:
    result = load_result(run)
    data = write_run_report(run, result)
    names = {"report.md", "report.tex", "report.json", "curves.png", "positions.png", "reliability.png"}
    assert names <= {path.name for path in run.iterdir()}
    assert json.loads((run / "report.json").read_text("utf-8")) == data
    assert (data["n_ok"], data["n_collapsed"], data["n_collapsed_attempts"]) == (2, 1, 1)
    scores = [seed["test"]["f"] for seed in result["seeds"]]
    assert data["scores"]["test"]["f"]["mean"] == pytest.approx(sum(scores[:2]) / 2, abs=1e-4)
    assert data["scores_with_collapsed"]["test"]["f"]["mean"] == pytest.approx(sum(scores) / 3, abs=1e-4)
    assert data["notes"] == ["Not ok, so not in the means: seed 3 (collapsed)."]
    errors = {row["kind"]: row["count"]["mean"] for row in data["errors"]}
    counts = [seed["test"]["counts"] for seed in result["seeds"][:2]]
    assert sum(errors.values()) - errors["spurious"] == sum(count["fn"] for count in counts) / 2
    assert sum(errors.values()) - errors["missed"] == sum(count["fp"] for count in counts) / 2
    assert errors["fragment missing"] > 0
    subsets = {row["group"]: row for row in data["subsets"]}
    assert subsets["seen"]["support"] + subsets["unseen"]["support"] == result["seeds"][0]["test"]["support"]
    assert data["scores_plain"]["test"]["f"]["mean"] == 60.5
    searches = data["searches"]
    assert list(searches) == ["default", "plain", "unconstrained"]
    assert all(way["n_seeds"] == 2 for way in searches.values())
    assert searches["default"]["scores"]["f"]["mean"] == data["scores"]["test"]["f"]["mean"]
    assert (searches["plain"]["scores"]["f"]["mean"], searches["plain"]["predicted"]) == (60.5, 90)
    assert list(searches["default"]["counts"].items()) == [("forced", 4), ("left_out", 7.5)]
    assert list(searches["plain"]["counts"].items()) == [("forced", 6), ("repeated", 1), ("gap", 2)]
    assert searches["unconstrained"]["counts"] == {"odd": 1, "order": 1, "unaligned": 3}, "rejects are counted alike"


def test_what_the_report_shows(run: Path) -> None:
    write_run_report(run, load_result(run))
    markdown = (run / "report.md").read_text("utf-8")
    assert table_rows(markdown, "Seeds")["3"][0] == "collapsed"
    ways = table_rows(markdown, "Ways of searching, test")
    assert ways["F1"][1:] == ["60.50 ± 0.71", "70.00 ± 0.00"]
    assert ways["symbols forced"] == ["4", "6", "-"]
    assert ways["entities left out for low scores"] == ["7.5", "-", "-"]
    assert ways["groups dropped: not at word boundaries"] == ["-", "-", "3"]
    assert ways["groups dropped: a gap where there is none"] == ["-", "2", "-"]
    assert ways["groups dropped: odd"] == ["-", "-", "1"], "a reason that no table knows has its own name"
    published = table_rows(markdown, "Comparison with published scores")
    assert published["word"][3:6] == ["92.61", "93.87", "93.24"] and published["span"][0] == "-"
    assert "Also reported: single_runs_f1: 93.18, 93.36." in markdown
    assert r"FRUIT\_%" in markdown and "![Loss and F1 per epoch](curves.png)" in markdown
    assert "-FRUIT_%" in markdown and "**fragment missing**" in markdown
    latex = (run / "report.tex").read_text("utf-8")
    assert r"FRUIT\_\%" in latex and r"\nonlatin{α}{03B1}\_tart" in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == latex.count(r"\toprule")


def test_scores_are_judged_before_and_after_calibration(run: Path) -> None:
    data = write_run_report(run, load_result(run))["calibration"]
    assert [row["seed"] for row in data["seeds"]] == [1, 2]
    for row in data["seeds"]:
        pairs: dict[str, list[tuple[float, bool]]] = {}
        for split in ("dev", "test"):
            for sentence in read_predictions(run / f"seed-{row['seed']}" / f"predictions.{split}.jsonl"):
                best: dict[Entity, float] = {}
                for entity, score in zip(sentence.predicted, sentence.scores, strict=True):
                    best[entity] = max(score, best.get(entity, 0.0))
                pairs.setdefault(split, []).extend((score, entity in sentence.gold) for entity, score in best.items())
        calibration = fit(*zip(*pairs["dev"], strict=True))
        scores, is_right = map(np.array, zip(*pairs["test"], strict=True))
        assert row["temperature"] == pytest.approx(calibration.temperature, abs=1e-4) and row["n"] == len(scores)
        calibrated = calibration.apply(scores)
        assert row["raw"]["brier"] == pytest.approx(np.mean((scores - is_right) ** 2), abs=1e-6)
        assert row["calibrated"]["brier"] == pytest.approx(np.mean((calibrated - is_right) ** 2), abs=1e-6)
        assert row["calibrated"]["ece"] < row["raw"]["ece"]
    errors = data["errors"]
    assert errors["raw"]["ece"]["mean"] == pytest.approx(np.mean([row["raw"]["ece"] for row in data["seeds"]]))
    assert sum(one["n"] for one in data["bins"]["raw"]) == sum(row["n"] for row in data["seeds"])
    markdown = (run / "report.md").read_text("utf-8")
    table = table_rows(markdown, "Entity scores, test")
    assert float(table["raw"][0].split()[0]) == pytest.approx(errors["raw"]["ece"]["mean"], abs=1e-4)
    assert set(table) == {"raw", "calibrated"} and "Calibrated on dev, seed 1: temperature" in markdown
    assert "![Share of correct entities by score](reliability.png)" in markdown


def test_scores_without_dev_or_that_are_no_probabilities(run: Path) -> None:
    (run / "seed-1" / "predictions.dev.jsonl").unlink()
    path = run / "seed-2" / "predictions.test.jsonl"
    path.write_text(path.read_text("utf-8").replace('"score": 0.', '"score": -0.'), "utf-8")
    data = write_run_report(run, load_result(run))
    notes = [note for note in data["notes"] if "scores" in note]
    assert notes == [
        "Seed 1: no scores in predictions.dev.jsonl, so those on test are not calibrated.",
        "Seed 2: its scores are not between 0 and 1, so they are not judged.",
    ]
    assert [row["seed"] for row in data["calibration"]["seeds"]] == [1]
    assert data["calibration"]["errors"]["calibrated"] is None
    assert "Not calibrated: this requires scores on dev and on another split." in (run / "report.md").read_text("utf-8")


def test_scores_on_dev_are_not_judged_by_what_was_fitted_to_them(run: Path) -> None:
    result = load_result(run)
    for seed in result["seeds"]:
        seed["dev"], seed["test"] = seed["test"], {}
    data = write_run_report(run, result)
    assert "Ways of searching, dev" in (run / "report.md").read_text("utf-8")
    assert data["split"] == "dev" and data["calibration"]["errors"]["calibrated"] is None
    assert not any("calibrated" in note for note in data["notes"])


def test_a_run_without_history_or_predictions(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "fruit" / "short"
    result = make_run(folder, [make_seed(folder, 1, examples())])
    (folder / "curves.png").write_bytes(b"of an earlier report")
    data = write_run_report(folder, result)
    assert any("No learning curve" in note for note in data["notes"])
    assert not (folder / "curves.png").exists()
    assert list(data["searches"]) == ["default"] and data["searches"]["default"]["predicted"] > 0
    assert data["scores_plain"] == {"dev": {}, "test": {}}, "nothing was decided on dev"
    assert data["scores"]["test"]["f"]["std"] is None
    (folder / "seed-1" / "predictions.test.jsonl").unlink()
    data = write_run_report(folder, result)
    assert data["notes"][0] == "Seed 1 has no predictions.test.jsonl and is not in the breakdowns."
    assert data["calibration"] is None and not (folder / "reliability.png").exists()
    assert data["errors"] == [] and "Kinds of errors" not in (folder / "report.md").read_text("utf-8")


def test_runs_without_a_good_seed_or_without_scores(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "fruit" / "bad"
    collapsed = make_seed(folder, 1, examples(), quality=0.0, status="collapsed")
    failed = failed_result(2, "killed by SIGKILL")
    data = write_run_report(folder, make_run(folder, [collapsed, failed]))
    assert data["scores"]["test"] == {} and data["scores_with_collapsed"]["test"]["f"]["n"] == 1
    assert "No seed is ok: the tables below the scores are based on the other seeds." in data["notes"]
    assert "No scores on test: seed 2." in data["notes"]
    assert write_run_report(folder, make_run(folder, []))["n_ok"] == 0


def test_the_seen_subset_is_what_the_metric_would_count(run: Path) -> None:
    data = write_run_report(run, load_result(run) | {"seeds": load_result(run)["seeds"][:1]})
    rows = examples()
    seen = entity_surfaces(rows[::2])
    gold = predicted = right = 0
    for sentence in read_predictions(run / "seed-1" / "predictions.test.jsonl"):
        of_gold, of_predicted = (
            {entity for entity in side if entity.surface_key(sentence.words) in seen}
            for side in (sentence.gold, sentence.predicted)
        )
        gold, predicted, right = gold + len(of_gold), predicted + len(of_predicted), right + len(of_gold & of_predicted)
    row = next(row for row in data["subsets"] if row["group"] == "seen")
    assert (row["support"], row["predicted"]) == (gold, predicted)
    assert row["f"]["mean"] == pytest.approx(200 * right / (gold + predicted), abs=0.006)


def test_the_table_of_all_runs(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    other = run.with_name("span")
    make_run(other, [make_seed(other, 1, examples())], unit="span", reported=REPORTED)
    (run.with_name("begun")).mkdir()
    (run.with_name("begun") / "run.json").write_text("{}", "utf-8")
    assert report.main([str(tmp_path / "runs"), "--out", str(tmp_path / "reports")]) == 0
    printed = capsys.readouterr().out
    assert f"{run.with_name('begun').resolve()}: left out: not finished, no result.json" in printed
    rows = json.loads((tmp_path / "reports" / "results.json").read_text("utf-8"))["runs"]
    assert [row["target"] for row in rows] == ["span", "word"]
    assert [(row["n_ok"], row["n_collapsed"]) for row in rows] == [(1, 0), (2, 1)]
    assert rows[0]["published"] == {"pre": 92.31, "rec": 93.45, "f": 92.88}
    assert rows[1]["delta_f"] == pytest.approx(rows[1]["scores"]["f"]["mean"] - 93.24, abs=0.006)
    markdown = (tmp_path / "reports" / "results.md").read_text("utf-8")
    assert "ok and collapsed" in markdown and "1 (+1 attempt)" in markdown and markdown.strip() in printed
    assert r"\toprule" in (tmp_path / "reports" / "results.tex").read_text("utf-8")
    assert (other / "report.md").is_file()


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_runs_are_found_below_any_folder(run: Path, depth: int) -> None:
    (run / "seed-1" / "recipe.yaml").write_text("{}", "utf-8")
    (run / "best").symlink_to(run / "seed-1")
    folder = [run, run.parent, run.parent.parent][depth]
    assert find_runs([folder, run]) == ([run.resolve()], {})


def test_nothing_is_left_out_without_a_word(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    deep, damaged, old = run.with_name("first") / "try", run.with_name("damaged"), run.with_name("old")
    make_run(deep, [make_seed(deep, 1, examples())])
    make_run(damaged, [])
    (damaged / "result.json").write_text("{", "utf-8")
    (old / "seed-1").mkdir(parents=True)
    (run.parent.parent / "sweeps" / "units").mkdir(parents=True)  # is no run, and no one takes it for one
    assert report.main([str(tmp_path / "runs"), "--out", str(tmp_path / "reports")]) == 0
    printed = capsys.readouterr().out
    rows = json.loads((tmp_path / "reports" / "results.json").read_text("utf-8"))["runs"]
    assert [row["name"] for row in rows] == ["try", "word"]
    assert f"{damaged.resolve()}: left out: {damaged.resolve()}/result.json: not JSON" in printed
    assert f"{old}: left out: no run.json" in printed and "sweeps" not in printed
    assert report.main([str(damaged), "--out", str(tmp_path / "reports")]) == 2


def test_comparison(run: Path, capsys: pytest.CaptureFixture) -> None:
    better = run.with_name("better")
    make_run(better, [make_seed(better, seed, examples(), quality=0.98) for seed in (1, 2, 3, 4)])
    assert report.main(["--compare", str(run), str(better), "--resamples", "500"]) == 0
    lines = capsys.readouterr().out.splitlines()
    pairs = [load_result(better)["seeds"][n]["test"]["f"] - load_result(run)["seeds"][n]["test"]["f"] for n in (0, 1)]
    found = re.fullmatch(r"60 sentences, 2 seed pairs: seed 1 (\S+), seed 2 (\S+)", lines[2])
    assert list(map(float, found.groups())) == pytest.approx(pairs, abs=0.021)  # result.json is rounded, this is not
    (mean,) = [line for line in lines if "with its collapsed seeds" in line]
    every = load_result(run)["seeds"]
    assert mean.endswith(mean_text(spread_over_seeds(every, ("ok", "collapsed"))["test"]["f"]))
    assert float(lines[4].removeprefix("delta F1 (B - A)")) == pytest.approx(sum(pairs) / 2, abs=0.021)
    assert any(line.startswith("p, randomisation        0.00") or "< 0.002" in line for line in lines)
    assert f"{run}: left out: seed 3 collapsed" in lines
    assert f"{better}: left out: seed 3 ok, seed 4 ok" in lines


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], "ends after 59 sentences, .* does not. Expected the same sentences"),
        (
            lambda rows: [Example(("other", *rows[0].words[1:]), rows[0].entities), *rows[1:]],
            ":1: words '.* differ from 'other",
        ),
        (lambda rows: [*rows[:-1], Example(rows[-1].words, ())], ":60: gold .* differ from"),
    ],
)
def test_runs_on_other_sentences_are_not_compared(run: Path, change: Any, message: str, capsys: Any) -> None:
    rows = examples()
    rows[-1] = Example(rows[-1].words, (Entity.from_flat("DISH", [0, 1]),))
    for name, of_run in (("a", rows), ("b", change(rows))):
        make_run(run.with_name(name), [make_seed(run.with_name(name), 1, of_run)])
    assert report.main(["--compare", str(run.with_name("a")), str(run.with_name("b"))]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_every_text_has_the_same_mean_of_a_run(run: Path, tmp_path: Path) -> None:
    """One seed has no deviation; several have the same mean and deviation wherever they are shown."""
    trained = load_result(run)["seeds"]
    for n_ok in (1, 2):
        seeds = trained[:n_ok]
        result = run_result(RunInfo("fruit", "pointer", "word", "scratch:tiny", {}, {}, "python train.py"), seeds)
        (run / "result.json").write_text(json.dumps(result), "utf-8")
        scores = [seed["test"]["f"] for seed in seeds]
        expected = f"{np.mean(scores):.2f} " + (f"± {np.std(scores, ddof=1):.2f}" if n_ok > 1 else "(1 seed)")
        assert ("test_f" in result["std"], "test_f" in result["ci95"]) == (n_ok > 1, n_ok > 1)
        assert f"test F1 {expected}" in run_summary(result)
        assert report.main([str(run), "--out", str(tmp_path)]) == 0
        assert f"| {expected} |" in (tmp_path / "results.md").read_text("utf-8")


def test_errors_of_use(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert report.main([str(tmp_path / "nowhere")]) == 2
    assert "nowhere: no such folder. Expected a run folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert report.main([str(tmp_path / "empty")]) == 2
    assert "holds no run" in capsys.readouterr().err
    alone = run.with_name("alone")
    make_run(alone, [make_seed(alone, 7, examples())])
    assert report.main(["--compare", str(run), str(alone)]) == 2
    assert "no seed in common that is ok" in capsys.readouterr().err
    (alone / "result.json").unlink()
    assert report.main([str(alone), "--out", str(tmp_path / "out")]) == 2
    assert "not finished, no result.json" in capsys.readouterr().err
    for wrong in ([], [str(run), "--compare", str(run), str(run)], [str(run), "--resamples", "0"]):
        with pytest.raises(SystemExit, match="2"):
            report.main(wrong)


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"raw_words": []}', '{"raw_words": [], "gold": [{"type": 1}], "pred": []}']
)
def test_a_broken_line_is_named(run: Path, line: str) -> None:
    path = run / "seed-1" / "predictions.test.jsonl"
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(
        DataFormatError, match=r"predictions.test.jsonl:61: not a judged sentence .*Expected an object with"
    ):
        list(read_predictions(path))


def test_a_broken_result_is_named(tmp_path: Path) -> None:
    for content, message in (("{", "not JSON"), ("[]", "no list of seeds"), ('{"seeds": 3}', "no list of seeds")):
        (tmp_path / "result.json").write_text(content, "utf-8")
        with pytest.raises(DataFormatError, match=message):
            load_result(tmp_path)


def test_the_file_of_another_run_is_noted(run: Path) -> None:
    make_seed(run, 1, examples(), quality=0.3)
    data = write_run_report(run, load_result(run))
    assert any(note.startswith("Seed 1: the file of predictions gives F1") for note in data["notes"])


def test_the_report_of_an_early_collapse(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Before its first epoch was complete: no scores, no history, no model."""
    folder = tmp_path / "runs" / "fruit" / "early"
    reason = "the mean loss is nan in epoch 1"
    nothing = {"dev": {}, "test": {}, "history": [], "attempts": [], "searches": {}, "epochs": 0, "best_epoch": 0}
    seed = {"seed": 1, "status": "collapsed", "reason": reason, "train_seconds": 0.0, "peak_memory_mb": 1.0, **nothing}
    result = make_run(folder, [seed])
    assert report.main([str(folder), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert f"Not ok, so not in the means: seed 1 (collapsed: {reason})." in printed
    assert "No learning curve: no seed completed an epoch." in printed
    assert "no seed is ok; 1 collapsed and left out: no scores" in run_summary(
        result | {"n_ok": 0, "n_collapsed": 1, "n_failed": 0}
    )
