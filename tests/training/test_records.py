"""The fitlog record, the log file and the progress lines."""

from __future__ import annotations

import json
import logging
import subprocess

import pytest
from fastNLP import logger as fastnlp_logger

from genner.training import logs
from genner.training.job import FitConfig
from genner.training.logs import Progress, console_log, run_log
from genner.training.state import seed_everything
from genner.training.trackers import FitlogCallback
from genner.training.trainer import fit
from tests.training.toy import ToyTask, toy_job

SETTINGS = {"dataset": "toy", "optim": {"lr": 0.05, "warm-up": None}, "seeds": [1]}


def run(tmp_path, *, fail_at=None, epochs=3):
    seed_everything(99)
    job = toy_job(ToyTask(fail_at=fail_at), folder=tmp_path / "seed-1")
    record = FitlogCallback(tmp_path / "logs", SETTINGS, tmp_path / "seed-1" / "fitlog.txt")
    return fit(job, FitConfig(epochs=epochs, device="cpu"), [record])


def records(tmp_path):
    return sorted((tmp_path / "logs").iterdir())


def lines(path):
    return [json.loads(line[line.index("{") :]) for line in path.read_text().splitlines()]


@pytest.fixture(params=["plain folder", "git repository"])
def place(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if request.param == "git repository":
        subprocess.run(["git", "init", "-q"], check=True)
    return tmp_path


def test_the_record_holds_settings_losses_scores_and_the_best(place, capfd):
    result = run(place)
    (record,) = records(place)
    assert lines(record / "hyper.log")[0]["hyper"]["optim"]["lr"] == 0.05
    losses = lines(record / "loss.log")
    assert [line["epoch"] for line in losses] == [1, 2, 3]
    assert losses[0]["loss"]["loss"] == pytest.approx(result.history[0]["loss"])
    scores = lines(record / "metric.log")
    assert [line["step"] for line in scores] == [6, 12, 18]
    assert scores[0]["metric"]["dev"]["f"] == result.history[0]["dev_f"]
    best = lines(record / "best_metric.log")[-1]["metric"]
    assert best["test"]["f"] == result.scores["test"]["f"] and best["epoch"] == result.best_epoch
    assert lines(record / "meta.log")[-1]["meta"]["state"] == "finish"
    assert "logging folder" not in capfd.readouterr().out  # fitlog's own message


def test_a_continued_run_appends_and_a_failed_one_says_so(place):
    with pytest.raises(KeyboardInterrupt):
        run(place, fail_at=8)
    (record,) = records(place)
    assert lines(record / "meta.log")[-1]["meta"]["state"] == "error"
    run(place)
    assert records(place) == [record]
    assert [line["epoch"] for line in lines(record / "loss.log")] == [1, 2, 3]
    assert len((record / "hyper.log").read_text().splitlines()) == 1
    assert lines(record / "meta.log")[-1]["meta"]["state"] == "finish"


def test_seeds_in_one_process_get_records_of_their_own(tmp_path):
    run(tmp_path / "a", epochs=1)
    run(tmp_path / "b", epochs=1)
    assert len(records(tmp_path / "a")) == len(records(tmp_path / "b")) == 1


def test_the_log_file_holds_our_messages_and_the_warnings_of_others(tmp_path, capsys):
    handlers = list(fastnlp_logger.handlers), list(logging.root.handlers)
    path = tmp_path / "seed-1" / "train.log"
    with console_log(), run_log(path):
        logging.getLogger("genner.training.trainer").info("ours")
        logging.getLogger("httpx").info("chatter")
        logging.getLogger("httpx").warning("trouble")
        fastnlp_logger.info("fastNLP chatter")
        fastnlp_logger.warning("fastNLP trouble")
    with run_log(path):
        logging.getLogger("genner.training.trainer").info("appended")
    logging.getLogger("genner.training.trainer").info("after")
    text = path.read_text()
    for said in ("ours", "trouble", "fastNLP trouble", "appended"):
        assert said in text
    assert "chatter" not in text and "after" not in text
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "ours" in captured.err and "chatter" not in captured.err
    assert handlers == (fastnlp_logger.handlers, logging.root.handlers)


def test_off_a_terminal_progress_comes_in_lines(monkeypatch, caplog):
    caplog.set_level("INFO")
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr(logs.time, "monotonic", lambda: next(clock))
    shown = Progress(12, "epoch 1/2")
    for _ in range(12):
        shown.advance(lambda: "loss 0.5")
    shown.close()
    assert caplog.messages == [
        "epoch 1/2: 2/12  loss 0.5  about 00:20 left",
        "epoch 1/2: 10/12  loss 0.5  about 00:04 left",
    ]


def test_in_a_terminal_progress_is_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(logs.sys.stderr, "isatty", lambda: True, raising=False)
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr(logs.time, "monotonic", lambda: next(clock))
    shown = Progress(3, "dev")
    for _ in range(3):
        shown.advance(lambda: "loss 0.5")
    shown.close()
    shown = capsys.readouterr().err
    assert "dev: 100%" in shown and "3/3" in shown and "loss 0.5" in shown
