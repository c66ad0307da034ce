"""The cache of encoded splits: what is read is what was written, or nothing."""

import os
import pickle
import random
from pathlib import Path

import numpy as np
import pytest

from data.cache import CacheFile, digest_of, flatten, unflatten

ARRAYS = {"values": np.arange(300, dtype=np.int32), "empty": np.zeros(0, dtype=np.int32)}
NOTE = {"counts": {"sentences": 3}, "text": "köln"}
DIGEST = digest_of({"unit": "word"}, [[["a", "b"]]])


@pytest.fixture
def stored(tmp_path: Path) -> CacheFile:
    file = CacheFile(tmp_path / "caches" / "train.safetensors", DIGEST)
    file.store(ARRAYS, NOTE)
    return file


def is_intact(file: CacheFile) -> bool:
    arrays, note, status = file.load()
    if arrays is None:
        assert status == "damaged: rebuilt"
        return False
    return status == "hit" and note == NOTE and all(np.array_equal(arrays[name], ARRAYS[name]) for name in ARRAYS)


class Marker:
    """Leaves a trace when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_what_was_stored_comes_back(stored: CacheFile) -> None:
    assert is_intact(stored)
    assert [path.name for path in stored.path.parent.iterdir()] == ["train.safetensors"]


def test_a_missing_file_is_a_miss(tmp_path: Path) -> None:
    assert CacheFile(tmp_path / "no", DIGEST).load() == (None, {}, "miss")


def test_another_digest_is_stale(stored: CacheFile, caplog: pytest.LogCaptureFixture) -> None:
    arrays, _, status = CacheFile(stored.path, "0" * 64).load()
    assert (arrays, status) == (None, "stale: rebuilt")
    assert "made from other data or settings" in caplog.text


def test_a_changed_byte_is_noticed_or_harmless(stored: CacheFile) -> None:
    """Every byte of the header, and a sample of the numbers. Harmless is what leaves the contents as they were."""
    content = stored.path.read_bytes()
    header_end = 8 + int.from_bytes(content[:8], "little")
    places = [*range(header_end), *random.Random(5).sample(range(header_end, len(content)), 150)]
    noticed = 0
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        stored.path.write_bytes(damaged)
        arrays, note, status = stored.load()
        if arrays is None:
            assert status in ("damaged: rebuilt", "stale: rebuilt")
            noticed += 1
        else:
            assert note == NOTE
            assert set(arrays) == set(ARRAYS)
            assert all(np.array_equal(arrays[name], ARRAYS[name]) for name in ARRAYS)
    assert noticed > 0.95 * len(places)


@pytest.mark.parametrize("length", [0, 3, 8, 40, 500, -1])
def test_a_truncated_file_is_noticed(stored: CacheFile, length: int) -> None:
    stored.path.write_bytes(stored.path.read_bytes()[:length])
    assert not is_intact(stored)


def test_something_longer_is_noticed(stored: CacheFile) -> None:
    stored.path.write_bytes(stored.path.read_bytes() + b"more")
    assert not is_intact(stored)


def test_a_pickle_in_its_place_is_not_executed(stored: CacheFile, tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    payload = pickle.dumps(Marker(trace))
    arrays_with_objects = np.array([Marker(trace)], dtype=object)
    np.save(tmp_path / "objects.npy", arrays_with_objects, allow_pickle=True)
    for content in (payload, (tmp_path / "objects.npy").read_bytes(), stored.path.read_bytes()[:8] + payload):
        stored.path.write_bytes(content)
        assert not is_intact(stored)
        assert not trace.exists()
    pickle.loads(payload)  # the trap works
    assert trace.exists()


def test_a_folder_in_its_place_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = CacheFile(tmp_path / "train.safetensors", DIGEST)
    file.path.mkdir()
    assert file.load()[2] == "damaged: rebuilt"
    file.store(ARRAYS, NOTE)
    assert "not written" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["train.safetensors"]


def test_an_interrupted_write_leaves_the_old_file(stored: CacheFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        stored.store({"values": np.zeros(3, dtype=np.int32)}, {})
    monkeypatch.undo()
    assert is_intact(stored)
    assert len(list(stored.path.parent.iterdir())) == 1


def test_a_cache_folder_that_cannot_be_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "caches").write_text("a file")
    file = CacheFile(tmp_path / "caches" / "train.safetensors", DIGEST)
    assert file.load()[2] in ("miss", "damaged: rebuilt")
    file.store(ARRAYS, NOTE)
    assert "not written" in caplog.text


def test_digest_tells_inputs_apart() -> None:
    inputs = [
        ({"a": 1}, [["x", "y"]]),
        ({"a": 2}, [["x", "y"]]),
        ({"a": 1}, [["xy"]]),
        ({"a": 1}, [["x"], ["y"]]),
        ({"a": 1}, [["x", "Y"]]),
        ({"a": 1}, [['x","y']]),
    ]
    assert len({digest_of(settings, columns) for settings, columns in inputs}) == len(inputs)
    assert digest_of({"a": 1, "b": 2}, []) == digest_of({"b": 2, "a": 1}, [])


def test_ragged_rows() -> None:
    rows = [[1, 2, 3], [], [4]]
    assert unflatten(*flatten(rows)) == rows
    assert unflatten(*flatten([])) == []
    with pytest.raises(ValueError, match="2 values for lengths that add up to 3"):
        unflatten(np.arange(2), np.array([3]))
