"""Pictures are PNG files that hold what they should; without data there is none."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.image import imread

from genner.evaluation.curves import learning_curves, position_curve, reliability_diagram

HISTORY = [
    {"epoch": 1, "loss": 2.5, "seconds": 3.0},
    {"epoch": 2, "loss": 1.5, "seconds": 3.0, "dev_f": 40.0, "test_f": 38.0},
    {"epoch": 3, "loss": 1.0, "seconds": 3.0, "dev_f": 60.0},
]


def colours_of(png: bytes) -> set[tuple[int, ...]]:
    pixels = (imread(io.BytesIO(png))[..., :3] * 255).round().astype(int)
    return set(map(tuple, np.unique(pixels.reshape(-1, 3), axis=0)))


def test_every_seed_has_its_colour() -> None:
    seeds = [
        {"seed": 1, "status": "ok", "history": HISTORY},
        {"seed": 2, "status": "collapsed", "history": HISTORY[:2]},
    ]
    png = learning_curves(seeds)
    assert png.startswith(b"\x89PNG")
    assert {(0, 114, 178), (213, 94, 0)} <= colours_of(png)
    assert learning_curves(seeds) == png


def test_without_history_there_is_no_picture() -> None:
    assert learning_curves([{"seed": 1, "status": "ok"}, {"seed": 2, "status": "ok", "history": []}]) is None


def test_recall_by_place() -> None:
    rows = [{"group": str(n), "gold": 30, "rec": {"mean": 80.0 - n, "std": None}} for n in (1, 2)]
    assert position_curve(rows).startswith(b"\x89PNG")
    assert position_curve(rows[:1]) is None


def test_reliability_before_and_after() -> None:
    raw = [{"n": 40, "mean_score": 0.4, "share_right": 0.6}, {"n": 40, "mean_score": 0.9, "share_right": 1.0}]
    calibrated = [row | {"mean_score": row["share_right"] - 0.02} for row in raw]
    png = reliability_diagram({"raw": raw, "calibrated": calibrated})
    assert png.startswith(b"\x89PNG")
    assert {(0, 114, 178), (213, 94, 0)} <= colours_of(png)
    assert (0, 114, 178) not in colours_of(reliability_diagram({"raw": raw, "calibrated": []}))
    assert reliability_diagram({"raw": [], "calibrated": []}) is None and reliability_diagram({}) is None
