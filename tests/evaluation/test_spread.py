"""What a run's mean is, and how it is written."""

from __future__ import annotations

import pytest

from genner.evaluation.spread import mean_text, spread_of, spread_over_seeds


def test_spread() -> None:
    spread = spread_of([80.0, 81.0, 82.0, 83.0, 84.0])
    assert (spread["n"], spread["mean"], spread["min"], spread["max"]) == (5, 82.0, 80.0, 84.0)
    assert spread["std"] == pytest.approx(1.5811, abs=1e-4)
    # t of 4 degrees of freedom is 2.776
    assert spread["high"] - spread["mean"] == pytest.approx(2.776 * 1.5811 / 5**0.5, abs=1e-3)
    same = spread_of([3.0, 3.0])
    assert (same["low"], same["high"], same["std"]) == (3.0, 3.0, 0.0)
    alone = spread_of([7.5])
    assert (alone["mean"], alone["std"], alone["low"]) == (7.5, None, None)


def test_the_mean_of_a_run_is_over_the_seeds_that_are_ok() -> None:
    seeds = [
        {"status": "ok", "dev": {"f": 80.0, "support": 7}, "test": {}},
        {"status": "ok", "dev": {"f": 82.0}, "test": {"f": 70.0}},
        {"status": "collapsed", "dev": {"f": 3.0}, "test": {"f": 1.0}},
        {"status": "failed", "dev": {}},
    ]
    ok = spread_over_seeds(seeds)
    assert list(ok["dev"]) == ["f"] and (ok["dev"]["f"]["mean"], ok["dev"]["f"]["n"]) == (81.0, 2)
    assert mean_text(ok["dev"]["f"]) == "81.00 ± 1.41"
    assert mean_text(ok["test"]["f"]) == "70.00 (1 seed)"
    assert spread_over_seeds(seeds, ("ok", "collapsed"))["dev"]["f"]["mean"] == 55.0
    # One that collapsed before it was scored counts as well.
    early = {"status": "collapsed", "dev": {}, "test": {}}
    assert spread_over_seeds([*seeds, early], ("ok", "collapsed"))["dev"]["f"]["mean"] == 41.25
    assert spread_over_seeds([*seeds, early])["dev"]["f"]["mean"] == 81.0
    assert spread_over_seeds([early], ("ok", "collapsed")) == {"dev": {}, "test": {}}
    assert mean_text(spread_over_seeds(seeds, ("failed",))["dev"].get("f")) == "-"
