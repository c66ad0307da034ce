"""The cached corpus: what the loaders read, without reading it again; anything that changes it is another file."""

from pathlib import Path

import pytest

from genner.data import bundle
from genner.data.bundle import LoadedCorpus, load_bundle, load_cached
from genner.data.columns import Sentences
from genner.data.loaders import LOADERS, LoaderOptions
from genner.data.splits import SplitRules
from genner.errors import ConfigError, DataFormatError

COLUMNS = "Rain O\nin O\nOslo {tag}-LOC\n\nAda B-PER\nBell I-PER\nslept O\n\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Train has a repair to report, dev a sentence of train, test a document."""
    root = tmp_path / "corpus"
    root.mkdir()
    (root / "train.txt").write_text(COLUMNS.format(tag="I"))
    (root / "dev.txt").write_text(COLUMNS.format(tag="B") + "Bell B-PER\n")
    (root / "test.txt").write_text("-DOCSTART- O\n\n" + COLUMNS.format(tag="B"))
    return root


def load(root: Path, options: LoaderOptions = LoaderOptions(), rules: SplitRules = SplitRules()) -> LoadedCorpus:  # noqa: B008
    return load_cached(root, "conll", options, rules, cache_dir=root.parent / "caches")


def files_of(root: Path) -> list[Path]:
    return sorted((root.parent / "caches").iterdir())


def facts(corpus: LoadedCorpus) -> dict:
    return {
        "examples": {split: list(rows) for split, rows in corpus.examples.items()},
        "reports": {split: report.lines() for split, report in corpus.reports.items()},
        "notes": corpus.notes,
        "statistics": corpus.statistics,
        "fingerprint": corpus.fingerprint,
        "labels": {split: list(stats.labels) for split, stats in corpus.statistics.items()},
    }


@pytest.mark.parametrize(
    "rules", [SplitRules(), SplitRules(train_on_dev=True), SplitRules(dev_every=2)], ids=["plain", "joined", "taken"]
)
def test_the_same_corpus_without_reading_it(folder: Path, rules: SplitRules, monkeypatch: pytest.MonkeyPatch) -> None:
    read = load_bundle(folder, "conll", rules=rules)
    made = load(folder, rules=rules)
    monkeypatch.setitem(LOADERS, "conll", None)  # cannot be called
    cached = load(folder, rules=rules)
    assert facts(read) == facts(made) == facts(cached)
    assert all(isinstance(rows, Sentences) for corpus in (made, cached) for rows in corpus.examples.values())
    assert len(files_of(folder)) == 1
    assert "read as B-X" in " ".join(cached.reports["train"].lines())


def test_a_limited_corpus_speaks_of_what_is_left(folder: Path) -> None:
    read, cached = load_bundle(folder, "conll").limited(1), load(folder) and load(folder).limited(1)
    assert facts(read) == facts(cached)
    assert cached.statistics["dev"].sentences == 1
    assert cached.notes[-1] == "test: the first 1 of 2."


def test_a_changed_file_or_setting_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(folder)
    lower = load(folder, LoaderOptions(compat=True))
    assert [entity.label for entity in lower.examples["dev"][0].entities] == ["loc"]
    assert len(load(folder, rules=SplitRules(train_on_dev=True)).examples["train"]) == 5
    (folder / "test.txt").write_text("Oslo B-LOC\n")
    assert [example.words for example in load(folder).examples["test"]] == [("Oslo",)]
    (folder / "dev.txt").rename(folder / "valid.txt")  # the reports name the file
    assert load(folder).reports["dev"].path.name == "valid.txt"
    assert len(files_of(folder)) == 5
    monkeypatch.setattr(bundle, "_SOURCES", ("schema.py",))  # other code
    load(folder)
    assert len(files_of(folder)) == 6


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign"])
def test_a_damaged_file_is_made_again(folder: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    expected = facts(load(folder))
    (file,) = files_of(folder)
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes({"cut": content[:-9], "flipped": content, "foreign": b"no cache"}[damage])
    assert facts(load(folder)) == expected
    assert "damaged" in caplog.text
    caplog.clear()
    assert facts(load(folder)) == expected
    assert "damaged" not in caplog.text


def test_errors_are_those_of_the_loaders(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"data.loader: unknown loader 'conl'"):
        load_cached(folder, "conl", LoaderOptions(), SplitRules(), cache_dir=folder)
    (folder / "dev.txt").write_text("Oslo\nlies O\n")
    with pytest.raises(DataFormatError, match=r"dev.txt:1: 1 column in 'Oslo'"):
        load(folder)
    (folder / "dev.txt").unlink()
    with pytest.raises(DataFormatError, match=r"no dev file"):
        load(folder)
    assert not (folder.parent / "caches").exists()  # nothing is kept of a corpus that cannot be read
