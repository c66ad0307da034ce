"""One case of the fuzzer: its files in a folder, what reads them, for how long, and what counts as a finding."""

from __future__ import annotations

import json
import re
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from random import Random
from types import FrameType, TracebackType

from benchmarks.fuzzing.mutations import Files
from benchmarks.fuzzing.samples import Sample
from genner.errors import NerError

__all__ = ["SECONDS", "Case", "Finding", "Target", "run_case", "shrink"]

SECONDS = 10.0
_SMALL = 20_000  # bytes of a file that is made smaller
_LONGEST = 1500  # characters of a message
# Where, what was found, what was expected, what to do.
_FORM = re.compile(r"\S.*?[:;,] .*\. Expected .*?[.?!)'\"\]}] [A-Z].*", re.DOTALL)
_QUOTED = re.compile(r"^\S+ |'[^']*'|\"[^\"]*\"|[0-9]+")  # what differs between messages about the same fault


@dataclass(frozen=True)
class Target:
    """Something that reads what strangers give it.

    Attributes:
        samples: valid inputs.
        read: reads the files of a case in a folder, given the kind of the sample and a generator for its options;
            returns the messages with which texts or requests were refused.
    """

    samples: Sequence[Sample]
    read: Callable[[Path, str, Random], Iterable[str]]


@dataclass(frozen=True)
class Case:
    """Files to read; ``key`` seeds the options with which they are read."""

    target: str
    kind: str
    key: str
    files: Files


@dataclass(frozen=True)
class Finding:
    """What must not happen.

    Attributes:
        what: one line: the error, the time, or the message that is not in the form of our messages.
        details: the traceback.
        sign: the same for the same fault.
    """

    what: str
    details: str
    sign: str

    def save(self, folder: Path, case: Case) -> Path:
        """Write the case and what happened, for ``--replay``; returns the folder of the case."""
        target = folder / f"{case.target}-{blake2b(self.sign.encode(), digest_size=4).hexdigest()}"
        target.mkdir(parents=True, exist_ok=True)
        for name, content in case.files.items():
            path = target / "files" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        about = {"target": case.target, "kind": case.kind, "key": case.key, "what": self.what}
        (target / "case.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        (target / "finding.txt").write_text(f"{self.what}\n\n{self.details}", encoding="utf-8", errors="replace")
        return target


def run_case(case: Case, target: Target) -> tuple[Finding | None, float]:
    """Read a case in a folder of its own; what is to be mended, if anything, and the seconds it took."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    for name, content in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    messages: list[str] = []
    begun_at = time.monotonic()
    with _Limited() as caught:
        messages += target.read(folder, case.kind, Random(case.key))
    seconds = time.monotonic() - begun_at
    shutil.rmtree(folder, ignore_errors=True)
    if isinstance(caught.error, NerError):
        messages.append(str(caught.error))
    elif caught.error is not None:
        return _of_error(caught.error, str(folder)), seconds
    elif seconds > SECONDS:
        return Finding(f"took {seconds:.1f} s", "", f"slow {case.kind}"), seconds
    wrong = [line for text in messages for line in _badly_formed(text.replace(str(folder), "FOLDER"))]
    if not wrong:
        return None, seconds
    return Finding(f"message: {wrong[0][:600]}", "", "message " + _QUOTED.sub("_", wrong[0])[:50]), seconds


def shrink(case: Case, target: Target, sign: str, *, seconds: float = 5.0) -> Case:
    """A smaller case with the same finding, as far as it is cheap: without files and parts that it does not need."""
    until = time.monotonic() + seconds
    for name in list(case.files):
        if time.monotonic() > until:
            return case
        without = _replaced(case, {key: value for key, value in case.files.items() if key != name})
        case = without if _shows(without, target, sign) else case
    for name in [name for name, content in case.files.items() if len(content) < _SMALL]:
        size = len(case.files[name]) // 2
        while size and time.monotonic() < until:
            start = 0
            while start < len(case.files[name]) and time.monotonic() < until:
                content = case.files[name]
                smaller = _replaced(case, case.files | {name: content[:start] + content[start + size :]})
                if _shows(smaller, target, sign):
                    case = smaller
                else:
                    start += size
            size //= 2
    return case


class _Limited:
    """Keeps the error that its block raises, also that of taking too long; Ctrl-C passes.

    Attributes:
        error: what was raised.
    """

    error: BaseException | None = None

    def __enter__(self) -> _Limited:
        signal.signal(signal.SIGALRM, _too_long)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.error = error
        return not isinstance(error, KeyboardInterrupt)


def _too_long(_: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"more than {SECONDS:g} s")


def _replaced(case: Case, files: Files) -> Case:
    return Case(case.target, case.kind, case.key, files)


def _shows(case: Case, target: Target, sign: str) -> bool:
    finding, _ = run_case(case, target)
    return finding is not None and finding.sign == sign


def _of_error(error: BaseException, folder: str) -> Finding:
    """A traceback; two are the same fault if the last of our lines is the same."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "site-packages" not in frame.filename and "/fuzzing/" not in frame.filename]
    last = (ours or list(frames))[-1]
    place = f"{Path(last.filename).name}:{last.lineno} {last.name}"
    what = f"{type(error).__name__}: {str(error)[:300]} ({place})".replace(folder, "FOLDER")
    details = "".join(traceback.format_exception(error))[-6000:]
    return Finding(what, details, f"{type(error).__name__} {place}")


def _badly_formed(text: str) -> list[str]:
    """The lines of a message that lack a part of the form, or are too long to be read."""
    if len(text) > _LONGEST * (1 + text.count("\n")):
        return ["too long: " + text]
    if _FORM.fullmatch(text):
        return []
    return [line for line in text.splitlines() if line.strip() and not _FORM.fullmatch(line)]
