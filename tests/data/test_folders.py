"""Which files below a folder are data."""

import os

import pytest

from genner.data.folders import files_below, is_clutter
from genner.data.splits import find_split_files
from genner.data.tally import Tally


@pytest.fixture
def tree(tmp_path):
    """Make a folder of empty files and of links (``name -> target``); returns it."""

    def make(*names):
        root = tmp_path / "raw"
        for name in names:
            name, _, target = name.partition(" -> ")
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if target:
                os.symlink(target, path)
            else:
                path.write_text("")
        return root

    return make


def below(root):
    tally = Tally()
    return [path.relative_to(root).as_posix() for path in files_below(root, tally)], tally


def test_hidden_files_and_those_of_systems_are_left_out_and_counted(tree):
    clutter = ["._a.txt", "__MACOSX/a.txt", ".ipynb_checkpoints/a.txt", "b/Thumbs.db", "~$a.txt", "b/a.txt~"]
    found, tally = below(tree("a.txt", "b/a.txt", *clutter))
    assert found == ["a.txt", "b/a.txt"]
    assert tally.counts == {
        "hidden file, left out": 1, "hidden folder, left out": 1, "system folder, left out": 1,
        "system file, left out": 3,
    }  # fmt: skip
    assert tally.places["hidden file, left out"] == ["._a.txt"]


def test_links_are_followed_once_and_never_in_circles(tree, tmp_path):
    (tmp_path / "outside/deep").mkdir(parents=True)
    (tmp_path / "outside/deep/o.txt").write_text("")
    links = ["a/up -> ..", "a/here -> .", "b -> ../outside", "c -> ../outside/deep", "d -> a", "e.txt -> nothing"]
    found, tally = below(tree("a/a.txt", "link.txt -> a/a.txt", *links))
    assert found == ["link.txt", "a/a.txt", "b/deep/o.txt"]
    assert tally.counts == {
        "folder behind a symbolic link that is read already, left out": 4, "neither file nor folder, left out": 1,
    }  # fmt: skip


def test_the_folder_may_be_a_link_itself(tree, tmp_path):
    tree("a.txt")
    os.symlink(tmp_path / "raw", tmp_path / "link")
    assert below(tmp_path / "link")[0] == ["a.txt"]


@pytest.mark.parametrize("name", ["._train.txt", ".train.txt", "train.txt~", "~$train.txt"])
def test_training_has_the_same_rule(name, tree):
    assert is_clutter(name)
    root = tree("train.txt", "dev.txt", "test.txt", name)
    assert find_split_files(root, "conll")["train"].name == "train.txt"
