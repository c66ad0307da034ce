"""Each patch: the symptom without it (in a process of its own) and the cure with it."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from genner import patches
from genner.patches.transformers import skip_draws_for_layerdrop

ROOT = Path(__file__).resolve().parents[2]
BLOCK_PKG_RESOURCES = """
import importlib.util, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "pkg_resources" else find_spec(name, package)
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == "pkg_resources":
            raise ModuleNotFoundError("No module named 'pkg_resources'", name=name)
sys.meta_path.insert(0, Blocker())
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FASTNLP_")}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True, timeout=300
    )


@pytest.mark.xfail(strict=True, reason="fastNLP 1.0.1 imports pkg_resources")
def test_unpatched_fastnlp_imports_without_pkg_resources():
    result = run(BLOCK_PKG_RESOURCES + "import fastNLP")
    assert "No module named 'pkg_resources'" in result.stderr or result.returncode == 0  # no other reason
    assert result.returncode == 0


def test_patched_fastnlp_imports_without_pkg_resources_and_silently():
    code = """
import builtins, logging, sys
before = builtins.print, sys.excepthook, logging.getLoggerClass(), list(logging.root.handlers)
from genner import patches
import fastNLP
assert fastNLP.__version__ == "1.0.1"
assert patches.apply_all()["genner.patches.fastnlp.provide_pkg_resources"] is True
assert before == (builtins.print, sys.excepthook, logging.getLoggerClass(), logging.root.handlers)
"""
    result = run(BLOCK_PKG_RESOURCES + code)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.xfail(strict=True, reason="fastNLP 1.0.1 leaves the choice of its backend to the environment")
def test_unpatched_fastnlp_knows_its_backend(tmp_path):
    # With a settings file of the user's, the import prints what it found there.
    (tmp_path / ".fastNLP/envs").mkdir(parents=True)
    (tmp_path / ".fastNLP/envs/default.json").write_text('{"FASTNLP_BACKEND": "torch"}')
    code = """
import sys, types
package = types.ModuleType("genner.patches")  # its __init__ would apply every patch
package.__path__ = ["patches"]
sys.modules["genner.patches"] = package
from genner.patches.fastnlp import provide_pkg_resources
provide_pkg_resources()
import fastNLP
"""
    result = run(code, HOME=str(tmp_path), CONDA_DEFAULT_ENV="default")
    assert result.returncode == 0, result.stderr
    assert "Set fastNLP backend" not in result.stdout


def test_patched_fastnlp_reads_no_settings_file(tmp_path):
    (tmp_path / ".fastNLP/envs").mkdir(parents=True)
    (tmp_path / ".fastNLP/envs/default.json").write_text('{"FASTNLP_BACKEND": "paddle"}')
    code = "from genner import patches; import fastNLP, os; assert os.environ['FASTNLP_BACKEND'] == 'torch'"
    result = run(code, HOME=str(tmp_path), CONDA_DEFAULT_ENV="default")
    assert (result.returncode, result.stdout) == (0, ""), result.stderr


FITLOG = """
import fitlog
fitlog.set_log_dir({folder!r})
fitlog.add_hyper({{"lr": 1e-5, "words": "two words"}})
fitlog.add_metric({{"dev": {{"f": 50.0}}}}, step=3, epoch=1)
fitlog.add_best_metric({{"dev": {{"f": 50.0}}}})
fitlog.finish()
"""


@pytest.mark.xfail(strict=True, reason="fitlog 0.9.15 uses numpy.str")
def test_unpatched_fitlog_logs(tmp_path):
    result = run(FITLOG.format(folder=str(tmp_path)))
    assert "has no attribute 'str'" in result.stderr or result.returncode == 0  # no other reason
    assert result.returncode == 0


def test_patched_fitlog_logs(tmp_path):
    result = run("from genner import patches\n" + FITLOG.format(folder=str(tmp_path)))
    assert result.returncode == 0, result.stderr
    (folder,) = tmp_path.iterdir()
    assert '"lr": 1e-05' in (folder / "hyper.log").read_text()
    assert '"f": 50.0' in (folder / "best_metric.log").read_text()


def test_fitlog_stand_in_leaves_numpy_alone_and_answers_as_numpy_does():
    import numpy

    logger_module = sys.modules["fitlog.fastlog.logger"]
    assert logger_module.np.str is str
    assert logger_module.np.integer is numpy.integer
    assert "str" not in vars(numpy)


def test_applying_again_changes_nothing(monkeypatch):
    first = patches.apply_all()
    module = sys.modules["fitlog.fastlog.logger"].np
    called = []
    monkeypatch.setattr(patches, "_PATCHES", tuple(_counting(patch, called) for patch in patches._PATCHES))
    assert patches.apply_all() == first
    assert called == []
    assert sys.modules["fitlog.fastlog.logger"].np is module
    assert patches.fitlog.provide_numpy_str() is False
    assert patches.fastnlp.provide_pkg_resources() is False
    assert patches.fastnlp.choose_torch_backend() is False


def _counting(patch, called):
    def counted():
        called.append(patch.__name__)
        return patch()

    counted.__module__, counted.__name__ = patch.__module__, patch.__name__
    return counted


def test_layerdrop_is_decided_without_a_draw_where_transformers_makes_one(monkeypatch):
    bart = importlib.import_module("transformers.models.bart.modeling_bart")
    monkeypatch.setattr(bart, "torch", torch)
    monkeypatch.setattr(inspect, "getsource", lambda _: "if self.training:\n    p = torch.rand([])")
    assert skip_draws_for_layerdrop() is True
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    assert bart.torch.rand([]) == 1.0
    assert torch.equal(torch.random.get_rng_state(), before)
    assert bart.torch.rand(2).shape == (2,) and bart.torch.arange is torch.arange
    assert skip_draws_for_layerdrop() is False, "once is enough"


def test_versions_that_look_at_the_rate_first_are_left_alone(monkeypatch):
    bart = importlib.import_module("transformers.models.bart.modeling_bart")
    monkeypatch.setattr(bart, "torch", torch)
    monkeypatch.setattr(inspect, "getsource", lambda _: "if self.training and self.layerdrop > 0.0:")
    assert skip_draws_for_layerdrop() is False
    assert bart.torch is torch
