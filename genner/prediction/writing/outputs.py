"""Where results go: a stream, a file or a folder; a run that was killed resumes without loss or repetition.

Files and folders appear when they are complete. During a run, the records are in ``OUTPUT.part``, and
``OUTPUT.part.json`` says how many bytes of it, made from how many inputs, are finished. A resumed run drops the rest.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from genner.errors import ConfigError, DataFormatError
from genner.files import recover_folder, replace_file, write_json
from genner.prediction.results import TextResult
from genner.prediction.writing.base import Writer

__all__ = ["FileOutput", "FolderOutput", "Output", "open_output", "writable"]

_VERSION = 1


class Output:
    """Takes the results of a run in order; this class writes them to a stream, which cannot be resumed."""

    #: Whether a resumed run turns out to be complete, so that nothing is left to do.
    is_complete = False

    def __init__(self, writer: Writer, stream: BinaryIO, *, closes: bool = False) -> None:
        self.writer = writer
        self._target, self._closes = stream, closes
        self._stream: Any = tempfile.TemporaryFile() if writer.is_assembled else stream  # noqa: SIM115 closed at the end

    def begin(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Get ready.

        Args:
            settings: what the records depend on, as plain values; a run is resumed only if they are the same.

        Returns:
            what the last :meth:`commit` of a resumed run was given; empty for a new run.
        """
        self._stream.write(self.writer.head())
        return {}

    def write(self, result: TextResult) -> None:
        """Add a result."""
        self._stream.write(self.writer.record(result))

    def commit(self, done: Mapping[str, Any]) -> None:
        """Make sure that what was written so far will stay; :meth:`begin` returns ``done`` when the run is resumed."""
        self._stream.flush()

    def finish(self) -> None:
        """Complete the output."""
        self._stream.write(self.writer.tail())
        if self._stream is not self._target:
            self._stream.seek(0)
            for content in self.writer.assembled(self._stream):
                self._target.write(content)
        self._target.flush()

    def close(self) -> None:
        """Release everything, complete or not."""
        with suppress(OSError):  # of a full disk; what matters was flushed
            if self._stream is not self._target:
                self._stream.close()
            if self._closes:
                self._target.close()


class FileOutput(Output):
    """A file; its part file takes the records until it is complete.

    Args:
        writer: of the format.
        path: of the file.
        resume: continue a run that was stopped; if there is none, begin one, or, if the output is there, do nothing.
        overwrite: replace an existing file, and discard a run that was stopped.

    Raises:
        ConfigError: the output exists already, or another process is writing it.
    """

    def __init__(self, writer: Writer, path: Path, *, resume: bool, overwrite: bool) -> None:
        self.writer, self.path = writer, path
        self.part = path.with_name(path.name + ".part")
        self.log = path.with_name(path.name + ".part.json")
        self._settings: dict[str, Any] = {}
        self._saved: dict[str, Any] = {}
        self._is_empty = False  # whether a run has begun and nothing of it is finished
        self._is_finished = False  # whether all of it is
        self._stream: Any = None
        self._made = [folder for folder in path.parents if not folder.exists()]  # removed again if they stay empty
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ConfigError(f"{path}: another process is writing it. Expected one at a time. Wait for it.") from None
        try:
            self._clear_leftovers()
            is_stopped = self.log.exists() or self.part.exists()
            if resume and not overwrite and not is_stopped and self._is_written():
                self.is_complete = True
            else:
                self._saved = self._found(resume, overwrite)
        except (ConfigError, OSError):
            self.close()
            raise

    def begin(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        self._settings = json.loads(json.dumps(settings))
        if self._saved:
            self._check_settings(self._saved["settings"])
            self.writer.state = self._saved["writer"]
            if not self.part.exists():  # killed when only the log was left to remove
                self.is_complete = self._is_finished = True
            else:
                self._open(self._saved["size"])
        else:
            self._is_empty = True
            self._remove_part()
            self._save_log(0, {})  # before the part file, so that one without it is known not to be ours
            self._open(None)
        return self._saved.get("done", {})

    def commit(self, done: Mapping[str, Any]) -> None:
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._save_log(self._stream.tell(), done)

    def finish(self) -> None:
        self._log_complete()
        self._stream.write(self.writer.tail())
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        if self.writer.is_assembled:
            with self.part.open("rb") as records, replace_file(self.path) as file:
                for content in self.writer.assembled(records):
                    file.write(content)
            self.part.unlink()
        else:
            os.replace(self.part, self.path)
        self._is_finished = True

    def close(self) -> None:
        with suppress(OSError):
            if self._stream is not None:
                self._stream.close()
        if self._is_empty:
            self._remove_part()
            self.log.unlink(missing_ok=True)
        Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()
        if self._is_finished:  # last of all: a run killed before this is known to be complete
            self.log.unlink(missing_ok=True)
        with suppress(OSError):  # not empty
            for folder in self._made:
                folder.rmdir()

    def _found(self, resume: bool, overwrite: bool) -> dict[str, Any]:
        """What the log of a stopped run says; empty for a new run."""
        if self.part.exists() and not self.log.exists():
            raise ConfigError(
                f"{self.part}: exists without {self.log.name}, so its origin is unknown. Expected neither or both. "
                "Remove it, or choose another --output."
            )
        saved = self._read_log() if self.log.exists() and (resume or not overwrite) else {}
        if not saved.get("done") and not saved.get("complete"):
            saved = {}
        if saved and not resume:
            raise ConfigError(
                f"{self.log}: from a run that was stopped. Expected none. Set --resume to continue it, or --overwrite "
                "to start over."
            )
        is_written = saved.get("complete") and self.path.exists()
        if not is_written:
            self._check_path(overwrite)
        if saved.get("size") and not (self.part.exists() or is_written):
            raise ConfigError(
                f"{self.part}: missing, but {self.log.name} exists. Expected both. Set --overwrite without --resume "
                "to start over."
            )
        return saved if self.part.exists() or is_written else {}

    def _is_written(self) -> bool:
        """Whether there is an output already."""
        return self.path.is_file()

    def _check_path(self, overwrite: bool) -> None:
        if self.path.is_dir():
            raise ConfigError(f"{self.path}: a folder. Expected a file for this format. Choose another --output.")
        if self.path.exists() and not overwrite:
            raise ConfigError(f"{self.path}: already exists. Expected a new file. Choose one, or set --overwrite.")

    def _read_log(self) -> dict[str, Any]:
        try:
            saved = json.loads(self.log.read_text(encoding="utf-8"))
            if saved["version"] == _VERSION and saved.keys() >= {"settings", "size", "writer", "done"}:
                return saved
            reason = f"version {saved['version']!r}"
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"{self.log}: not the log of a stopped run ({reason}). Expected what an earlier run wrote. Set --overwrite "
            "without --resume to start over."
        )

    def _check_settings(self, before: Mapping[str, Any]) -> None:
        names = [name for name in {**before, **self._settings} if before.get(name) != self._settings.get(name)]
        if names:
            changes = "; ".join(f"{name} {before.get(name)!r}, now {self._settings.get(name)!r}" for name in names)
            raise ConfigError(
                f"{self.log}: the run was started with {changes}. Expected the same, as all results must be alike. "
                "Repeat its command with --resume, or set --overwrite without --resume to start over."
            )

    def _save_log(self, size: int, done: Mapping[str, Any]) -> None:
        self._is_empty = not done
        values = {"version": _VERSION, "settings": self._settings, "size": size, "writer": self.writer.state}
        write_json(self.log, {**values, "done": done})

    def _log_complete(self) -> None:
        self._is_empty = False
        write_json(self.log, {**json.loads(self.log.read_text(encoding="utf-8")), "complete": True})

    def _open(self, size: int | None) -> None:
        """Open the part file: a new one, or the old one cut back to ``size`` bytes."""
        if size is None:
            self._stream = self.part.open("wb")
            self._stream.write(self.writer.head())
            return
        self._stream = self.part.open("r+b")
        if self._stream.seek(0, os.SEEK_END) < size:
            raise ConfigError(
                f"{self.part}: shorter than the {size:,} bytes that were written. Expected the file as it was left. "
                "Set --overwrite without --resume to start over."
            )
        self._stream.truncate(size)
        self._stream.seek(size)
        if not size:
            self._stream.write(self.writer.head())

    def _remove_part(self) -> None:
        if self.part.is_dir():  # of another format, perhaps
            shutil.rmtree(self.part)
        else:
            self.part.unlink(missing_ok=True)

    def _clear_leftovers(self) -> None:
        """Remove what was left by a process that was killed while it replaced a file."""
        for name in (self.path.name, self.log.name):
            for temporary in self.path.parent.glob(f".{glob.escape(name)}.*.tmp"):
                temporary.unlink()


class FolderOutput(FileOutput):
    """A folder of files, in its part folder until it is complete; a half-written file is written again.

    Files are not synced to disk one by one, which would take longer than reading the texts: a killed process does no
    harm, a power cut may.
    """

    def write(self, result: TextResult) -> None:
        for name, content in self.writer.record(result).items():
            path = self.part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def commit(self, done: Mapping[str, Any]) -> None:
        self._save_log(0, done)

    def finish(self) -> None:
        for name, content in self.writer.closing().items():
            (self.part / name).write_bytes(content)
        self._log_complete()
        old = self.path.with_name(f".{self.path.name}.old")
        if self.path.exists():
            os.rename(self.path, old)
        os.rename(self.part, self.path)
        shutil.rmtree(old, ignore_errors=True)
        self._is_finished = True

    def _is_written(self) -> bool:
        return self.path.is_dir() and any(self.path.iterdir())

    def _check_path(self, overwrite: bool) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.path}: a file. Expected a folder for this format. Choose another --output.")
        if self.path.is_dir() and any(self.path.iterdir()) and not overwrite:
            raise ConfigError(
                f"{self.path}: already exists and is not empty. Expected a new folder. Choose one, or set --overwrite."
            )

    def _open(self, size: int | None) -> None:
        self.part.mkdir(exist_ok=True)

    def _clear_leftovers(self) -> None:
        super()._clear_leftovers()
        recover_folder(self.path)


@contextmanager
def open_output(
    target: str | Path, writer: Writer, stdout: BinaryIO, *, resume: bool = False, overwrite: bool = False
) -> Iterator[Output]:
    """The output for a target; closed, complete or not, when the block ends.

    Args:
        target: a file or, for a format of several files, a folder; ``-`` is ``stdout``. Devices such as ``/dev/null``
            are written to as they are.
        writer: of the format.
        stdout: for ``-``.
        resume: see :class:`FileOutput`; so is ``overwrite``.

    Raises:
        ConfigError: the target cannot be used.
        DataFormatError: it cannot be opened.
    """
    path = Path(target)
    output: Output | None = None
    try:
        with writable(target):
            if str(target) == "-" or (path.exists() and not path.is_file() and not path.is_dir()):
                _check_stream(target, writer, resume)
                is_device = str(target) != "-"
                output = Output(writer, path.open("wb") if is_device else stdout, closes=is_device)
            else:
                made = FolderOutput if writer.is_folder else FileOutput
                output = made(writer, path, resume=resume, overwrite=overwrite)
        yield output
    finally:
        if output is not None:
            output.close()


@contextmanager
def writable(target: str | Path) -> Iterator[None]:
    """Report a full disk and the like in one message; BrokenPipeError passes, for a reader that has left.

    Raises:
        DataFormatError: names the file and what was wrong with it.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        where = error.filename or ("standard output" if str(target) == "-" else target)
        raise DataFormatError(
            f"{where}: cannot be written ({error.strerror}). Expected free space and permission to write. Fix this and "
            "repeat the command, with --resume if it had started."
        ) from error


def _check_stream(target: str | Path, writer: Writer, resume: bool) -> None:
    if writer.is_folder:
        raise ConfigError(f"output: {str(target)!r} is a stream. Expected a folder for this format. Set --output.")
    if resume:
        raise ConfigError("resume: a stream cannot be resumed. Expected a file or a folder. Set --output.")
