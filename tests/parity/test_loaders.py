"""In compat mode the loaders return what the reference's loaders returned."""

import hashlib
import json
import re

import pytest

from genner.data.bundle import to_dataset
from genner.data.loaders import LOADERS, LoaderOptions

COMPAT = LoaderOptions(compat=True)
FIELDS = ("raw_words", "entities", "entity_tags", "entity_spans")
# kind -> loader, folder of the inputs, ending
KINDS = {
    "flat": ("conll", "conll2003", "txt"),
    "nested": ("nested", "genia", "jsonlines"),
    "disc": ("discontinuous", "CADEC", "txt"),
}


def fields_of(loader, path):
    examples, report = LOADERS[loader](path, COMPAT)
    dataset = to_dataset(examples)
    return {name: dataset.get_field(name).content for name in FIELDS}, report


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", KINDS)
def test_edge_files(parity_dir, kind):
    recorded = read(parity_dir / "edge_loaders.json")[kind]
    found, report = fields_of(KINDS[kind][0], parity_dir / "inputs" / "edge" / recorded["file"])
    assert len(recorded["instances"]) == recorded["n"] >= 4
    for name in FIELDS:
        assert found[name] == [instance[name] for instance in recorded["instances"]], name
    if kind == "nested":
        dropped, longest = map(int, re.findall(r"\d+", " ".join(recorded["messages"])))
        assert report.counts["mention whose end is before its start, dropped"] == dropped
        assert max(map(len, found["raw_words"])) == longest


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_training_sentences(parity_dir, kind):
    loader, folder, ending = KINDS[kind]
    instances = read(parity_dir / f"pipe_{kind}.json")["instances"]
    found, _ = fields_of(loader, parity_dir / "inputs" / folder / f"train.{ending}")
    assert len(instances) == 40
    for name in FIELDS:
        assert found[name][:40] == [instance[name] for instance in instances], name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_digests_of_whole_splits(parity_dir, kind, split):
    loader, folder, ending = KINDS[kind]
    recorded = read(parity_dir / f"pipe_{kind}.json")["sha256_all"]["word"][split]
    found, _ = fields_of(loader, parity_dir / "inputs" / folder / f"{split}.{ending}")
    for name in ("entity_spans", "entity_tags"):
        text = json.dumps(found[name], separators=(",", ":"))
        assert hashlib.sha256(text.encode("ascii")).hexdigest() == recorded[name], name
