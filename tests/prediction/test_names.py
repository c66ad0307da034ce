"""Names of files for ids: valid on every system, unique, stable, and told back."""

import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from genner.data.folders import is_clutter
from genner.data.tally import Tally
from genner.prediction.names import BRAT_FILES, IDS, FileNames, names_file, read_names
from tests.prediction.drawn import IDS as ANY_IDS


def files_of(ids: list[str]) -> list[str]:
    names = FileNames()
    stems = [names.name(one) for one in ids]
    return [f"{stem}{ending}" for stem in stems for ending in (".txt", ".ann")]


@settings(deadline=None)
@given(ids=st.lists(ANY_IDS, max_size=8))
def test_names_are_valid_everywhere(ids: list[str]) -> None:
    files = files_of(ids)
    assert files == files_of(ids)
    for file in files:
        assert len(file.encode()) < 200
        for part in file.split("/"):
            assert 0 < len(part.encode()) <= 143 and not re.search('[\0-\x1f\x7f<>:"\\\\|?*]', part)
            assert not part.startswith((" ", ".", "~$")) and not part.endswith((" ", ".")) and not is_clutter(part)
            assert part.split(".")[0].rstrip().upper() not in ("CON", "PRN", "AUX", "NUL", "COM1", "LPT1")
    folded = [file.casefold() for file in files]
    folders = {parent for file in folded for parent in map(str, Path(file).parents)}
    assert len(set(folded)) == len(files) and not folders & {*folded, *BRAT_FILES}


def test_names() -> None:
    names = FileNames()
    pairs = [
        ("a", "a"),
        ("A", "A-2"),
        ("a", "a-3"),
        ("a-2", "a-2-2"),
        ("con", "_con"),
        ("CON.txt", "_CON.txt"),
        ("com¹", "_com¹"),
        ("x.", "x_"),
        ("notes:1", "notes_1"),
        ("a\\b", "a_b"),
        ("é", "é"),
        ("e\u0301", "é-2"),
        ("ﬁ", "ﬁ"),
        ("fi", "fi-2"),
        ("d/x", "d/x"),
        ("D/X", "D/X-2"),
        ("👩\u200d👧", "👩_👧"),
    ]
    assert [names.name(text_id) for text_id, _ in pairs] == [name for _, name in pairs]
    deep, long = names.name("d/" * 5000 + "leaf"), names.name("日" * 500)
    assert re.fullmatch("leaf-[0-9a-f]{12}", deep) and long == "日" * 40


def test_many_equal_ids_take_no_time() -> None:
    names = FileNames()
    assert [names.name("1") for _ in range(50_000)][-1] == "1-50000"


def test_ids_are_read_back(tmp_path: Path) -> None:
    pairs = {"notes_1": "notes:1", "_": "\n\u2028", "x-1": "x" * 1000}
    (tmp_path / IDS).write_text(names_file(pairs.items()))
    tally = Tally()
    assert read_names(tmp_path, tally) == pairs and not tally.counts
    assert read_names(tmp_path / "none", tally) == {} and not tally.counts
    for broken in ("{", "[1]\n", '["a"]', "3\n", "\ud800".encode("utf-8", "surrogatepass")):
        (tmp_path / IDS).write_bytes(broken if isinstance(broken, bytes) else broken.encode())
        tally = Tally()
        assert read_names(tmp_path, tally) == {}
        assert list(tally.counts) == ["ids.conf that cannot be read, so that ids are the names of the files"]
