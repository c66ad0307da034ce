"""What makes two runs the same: the file, and what is said where they differ."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from genner.errors import ConfigError
from genner.training.identity import RunIdentity, differences, version_changes
from tests.training.identities import IDENTITY, with_data, with_settings


def said(here: RunIdentity) -> list[str]:
    return list(differences(IDENTITY, here))


def test_what_is_written_is_read_back(tmp_path):
    IDENTITY.write(tmp_path / "run.json")
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["format"] == 1
    again = RunIdentity.read(tmp_path / "run.json")
    assert again == IDENTITY and said(again) == []


def test_the_same_values_are_no_difference_whatever_their_order_and_kind_of_sequence():
    other = replace(IDENTITY, settings=dict(reversed(IDENTITY.settings.items())), labels=("LOC", "PER"))
    assert said(other) == []
    assert said(with_settings(**{"labels.PER": "person"})) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"optim.lr": 2e-05}, "optim.lr was 1e-05 and is now 2e-05"),
        ({"model.encoder_mlp": 1}, "model.encoder_mlp was true and is now 1"),
        ({"data.limit": 5}, "data.limit was null and is now 5"),
        ({"labels.LOC": "place"}, 'labels.LOC was not set and is now "place"'),
        ({"labels.PER": "Persö"}, 'labels.PER was "person" and is now "Persö"'),
    ],
)
def test_a_setting_that_differs_is_named_with_both_values(changed, expected):
    assert said(with_settings(**changed)) == [expected]


def test_a_setting_that_is_gone_is_named():
    settings = {name: value for name, value in IDENTITY.settings.items() if name != "labels.PER"}
    assert said(replace(IDENTITY, settings=settings)) == ['labels.PER was "person" and is now not set']


def test_data_that_differs_is_named_by_split_with_its_counts():
    assert said(with_data("train", sentences=15000, sha256="other")) == [
        "data: train differs (sentences: 14,041 before, 15,000 now)"
    ]
    assert said(with_data("dev", sha256="other")) == ["data: dev differs (same counts, different content)"]
    assert said(replace(IDENTITY, data={"train": IDENTITY.data["train"]})) == ["data: dev is now missing"]
    assert said(replace(IDENTITY, data={**IDENTITY.data, "test": IDENTITY.data["dev"]})) == ["data: test is new"]


def test_counts_that_a_later_version_counts_otherwise_do_not_matter():
    assert said(with_data("train", nested=7)) == []


def test_labels_that_differ_are_named():
    assert said(replace(IDENTITY, labels=("LOC", "ORG", "SHIP"))) == [
        "labels removed: PER",
        "labels added: ORG, SHIP",
    ]
    assert said(replace(IDENTITY, labels=("PER", "LOC"))) == ["labels in a different order"]


def test_versions_make_no_difference_but_are_told():
    other = replace(IDENTITY, versions={"torch": "2.11.0", "numpy": "2.4.6"})
    assert said(other) == []
    assert version_changes(IDENTITY, other) == ["numpy none -> 2.4.6", "torch 2.13.0 -> 2.11.0"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 2, "settings": {}, "data": {}, "labels": [], "versions": {}}',
        "\xff",
        None,
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path, content):
    path = tmp_path / "run.json"
    if content is not None:
        path.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigError, match=r"run.json: missing, damaged or written by another version. .* --run_name"):
        RunIdentity.read(path)
