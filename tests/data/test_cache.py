"""The cache of encoded splits: what is read is what was written, or nothing."""

import os
import pickle
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from genner.data.cache import CacheFile, digest_of

ARRAYS = {
    "letters": np.arange(7, dtype=np.uint8),
    "values": np.arange(300, dtype=np.int32),
    "offsets": np.arange(9, dtype=np.int64) << 40,
    "empty": np.zeros(0, dtype=np.int32),
}
NOTE = {"counts": {"sentences": 3}, "text": "köln"}
DIGEST = digest_of({"unit": "word"})
ROOT = Path(__file__).parents[2]


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


def test_the_arrays_are_views_of_the_file(stored: CacheFile) -> None:
    arrays, _, _ = stored.load()
    for name, array in arrays.items():
        assert array.dtype == ARRAYS[name].dtype and not array.flags.owndata and array.flags.aligned, name
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0


def test_a_file_may_be_replaced_while_its_arrays_are_in_use(stored: CacheFile) -> None:
    arrays, _, _ = stored.load()
    stored.store({"values": np.zeros(300, dtype=np.int32)}, {})
    assert np.array_equal(arrays["values"], ARRAYS["values"])
    assert not stored.load()[0]["values"].any()
    stored.path.unlink()
    assert np.array_equal(arrays["values"], ARRAYS["values"])


def test_others_can_read_the_file(stored: CacheFile) -> None:
    found = load_file(stored.path)
    assert set(found) == set(ARRAYS)
    assert all(np.array_equal(found[name], ARRAYS[name]) for name in ARRAYS)


@pytest.mark.parametrize("arrays", [{}, {"empty": np.zeros(0, dtype=np.uint8)}], ids=["none", "empty"])
def test_a_file_without_numbers(tmp_path: Path, arrays: dict) -> None:
    file = CacheFile(tmp_path / "train.safetensors", DIGEST)
    file.store(arrays, NOTE)
    found, note, status = file.load()
    assert (list(found), note, status) == (list(arrays), NOTE, "hit")


def test_a_missing_file_is_a_miss(tmp_path: Path) -> None:
    assert CacheFile(tmp_path / "no", DIGEST).load() == (None, {}, "miss")


def test_another_digest_is_stale(stored: CacheFile, caplog: pytest.LogCaptureFixture) -> None:
    arrays, _, status = CacheFile(stored.path, "0" * 64).load()
    assert (arrays, status) == (None, "stale: rebuilt")
    assert "created from other data or settings" in caplog.text


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


def test_a_killed_writer_leaves_the_old_file(stored: CacheFile) -> None:
    """SIGKILL in the middle of a write, when nothing can be tidied up any more."""
    code = """
import os, signal, sys
from pathlib import Path
import numpy as np
import genner.files
from genner.data.cache import CacheFile

def kill(_):
    os.kill(os.getpid(), signal.SIGKILL)

os.fsync = kill  # all is written, nothing is renamed
CacheFile(Path(sys.argv[1]), sys.argv[2]).store({"values": np.zeros(300, dtype=np.int32)}, {})
"""
    ended = subprocess.run([sys.executable, "-c", code, str(stored.path), DIGEST], cwd=ROOT)
    assert ended.returncode == -signal.SIGKILL
    assert len(list(stored.path.parent.iterdir())) == 2  # the half file has a name that nobody reads
    assert is_intact(stored)


def test_digest_tells_settings_apart() -> None:
    inputs = [{"a": 1}, {"a": 2}, {"a": "1"}, {"a": 1, "b": None}, {"a": [1]}]
    assert len(set(map(digest_of, inputs))) == len(inputs)
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
