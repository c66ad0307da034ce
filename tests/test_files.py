"""Atomic writing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genner.files import recover_folder, replace_file, replace_folder, replace_link, write_json, write_text


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "notes.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), replace_file(path) as file:
        file.write(b"half of the ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "result.json", {"f": float("nan")})
    assert os.listdir(tmp_path) == []


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "best"
    replace_folder(path, lambda folder: write_text(folder / "a", "old"))

    def interrupted(folder):
        write_text(folder / "b", "half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_folder(path, interrupted)
    assert os.listdir(path) == ["a"]
    replace_folder(path, lambda folder: write_text(folder / "b", "new"))
    assert os.listdir(path) == ["b"]
    assert os.listdir(tmp_path) == ["best"]


@pytest.mark.parametrize("has_new", [True, False])
def test_the_state_of_a_process_killed_between_two_renames_is_mended(tmp_path, has_new):
    write_text(tmp_path / ".best.old" / "a", "old")
    if has_new:
        write_text(tmp_path / "best" / "a", "new")
    recover_folder(tmp_path / "best")
    assert (tmp_path / "best" / "a").read_text() == ("new" if has_new else "old")
    assert os.listdir(tmp_path) == ["best"]


def test_links_are_relative_and_replaceable(tmp_path):
    for seed in ("seed-1", "seed-2"):
        write_text(tmp_path / "run" / seed / "best" / "name", seed)
        replace_link(tmp_path / "run" / "best", tmp_path / "run" / seed / "best")
    (tmp_path / "run").rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "best" / "name").read_text() == "seed-2"


def test_where_links_need_a_privilege_there_is_a_copy(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("a required privilege is not held by the client")

    link, seeds = tmp_path / "best", [tmp_path / "seed-1" / "best", tmp_path / "seed-2" / "best"]
    for seed in seeds:
        write_text(seed / "name", seed.parent.name)
    replace_link(link, seeds[0])
    with monkeypatch.context() as patched:
        patched.setattr(Path, "symlink_to", refuse)
        for seed in reversed(seeds):
            replace_link(link, seed)
            assert not link.is_symlink() and (link / "name").read_text() == seed.parent.name
    replace_link(link, seeds[1])
    assert link.is_symlink() and (link / "name").read_text() == "seed-2"
    assert sorted(os.listdir(tmp_path)) == ["best", "seed-1", "seed-2"]
