"""The published counts are those of the facts; a copy is told match, known variant or mismatch."""

import pytest

from genner.config import RECIPES
from genner.data.fingerprints import FINGERPRINTS, compare
from genner.data.statistics import SplitStatistics


def stats(splits=("train", "dev", "test"), **counts):
    """``stats(sentences=(3, 2, 1))``: statistics of three splits."""
    return {
        split: SplitStatistics(**{name: values[n] for name, values in counts.items()}) for n, split in enumerate(splits)
    }


def published(dataset, **changes):
    print_of = FINGERPRINTS[dataset]
    merged = {name: dict(values) for name, values in print_of.unconfirmed.items()}
    for name, values in [*print_of.counts.items(), *print_of.informal.items()]:
        merged.setdefault(name, {}).update(values)
    order = ("train", "dev", "test")
    return stats(**{name: [values[split] for split in order] for name, values in merged.items()} | changes)


def test_every_published_recipe_has_one():
    assert {folder.name for folder in RECIPES.iterdir()} - {"demo"} == set(FINGERPRINTS)


@pytest.mark.parametrize("dataset", sorted(set(FINGERPRINTS) - {"Share_2014"}))
def test_published_copy_matches(dataset):
    (line,) = compare(dataset, published(dataset))
    assert line.startswith(f"{dataset}: every confirmed count matches (")
    assert "unconfirmed 1" not in line


def test_nothing_confirmed_is_never_a_target():
    (line,) = compare("Share_2014", stats(sentences=(1, 2, 3), entities=(4, 5, 6), discontinuous=(0, 0, 0)))
    assert line.startswith("Share_2014: no confirmed counts of these splits to compare with (")
    assert "sentences train 1, dev 2, test 3, unconfirmed train 17,407, dev 1,360, test 15,850" in line
    assert "other counts" not in line


def test_unconfirmed_counts_decide_nothing():
    (line,) = compare("conll2003", stats(sentences=(14041, 3250, 3453), entities=(1, 2, 3)))
    assert "every confirmed count matches" in line
    assert "entities train 1, dev 2, test 3, unconfirmed train 23,499" in line


@pytest.mark.parametrize(
    ("dataset", "counts", "said"),
    [
        ("en-ontonotes", {"sentences": (115812, 15680, 12217), "entities": (1, 1, 1)}, "F1 is about 87, not 90"),
        ("en-ontonotes", {"sentences": (94292, 13900, 10348)}, "the v12 split without the New Testament"),
        ("genia", {"sentences": (15038, 1765, 1732), "entities": (46203, 4714, 5119)}, "the split by documents"),
    ],
)
def test_known_variants(dataset, counts, said):
    (line,) = compare(dataset, stats(**counts))
    assert line.startswith(f"{dataset}: not the published copy but a known variant: ") and said in line


def test_mismatch_shows_the_numbers():
    (line,) = compare("Share_2013", published("Share_2013", entities=(5146, 669, 5332)))
    assert "counts differ from the published copy: entities train 5,146, dev 669, test 5,332, published train" in line
    assert "test 5,333" in line and "M: counted on released files" in line and "Hint:" in line


def test_train_and_dev_together():
    (line,) = compare("conll2003", stats(("train", "test"), sentences=(17291, 3453), entities=(29441, 5648)))
    assert "every confirmed count matches (sentences train 17,291, test 3,453;" in line
    assert "as in the unconfirmed count" in line


def test_genia_of_another_size_is_not_called_published():
    (line,) = compare("genia", stats(sentences=(9000, 1669, 900)))
    assert "sentences train 9,000, test 900, unconfirmed train 15,023, test 1,854" in line


def test_single_splits_and_strangers():
    assert compare("wnut17", stats(sentences=(1, 1, 1))) == []
    assert compare("genia", {}) == []
    (line,) = compare("en_ace05", stats(("test",), sentences=(1051,), entities=(3099,), nested=(1186,)))
    assert "every confirmed count matches (sentences test 1,051; entities test 3,099; nested test 1,186, as" in line


def test_nested_entities_of_another_definition_do_not_decide():
    (line,) = compare("en_ace04", published("en_ace04", nested=(1, 1, 1), same_span=(1, 1, 1)))
    assert "every confirmed count matches" in line
    assert "nested train 2, dev 2, test 2, published train 10,176, dev 1,092, test 1,422, perhaps by another" in line


@pytest.mark.corpus
def test_the_released_genia_test_part_has_the_published_counts(shared_data):
    from genner.data.bundle import load_bundle
    from genner.data.statistics import split_statistics

    files = {"test": shared_data / "genia_subset" / "test.jsonlines"}
    found = split_statistics(load_bundle(None, "nested", files=files).examples["test"])
    variant = FINGERPRINTS["genia"].variants[0].counts
    assert found.sentences == variant["sentences"]["test"] and found.entities == variant["entities"]["test"]
    assert found.nested + found.same_span == 1156  # published; so this is how it is counted there
