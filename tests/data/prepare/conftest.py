"""Raw folders of our own making, in the distributors' layouts, and the command run on them end to end."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from genner.commands.prepare import SOURCES, main
from genner.data.bundle import load_bundle
from genner.data.loaders import LoaderOptions


@dataclass
class Outcome:
    code: int
    out: str
    err: str
    folder: Path
    loader: str

    def entities(self, split):
        """``(label, surface)`` of every sentence with entities, read back with our loader."""
        rows = self.examples(split)
        return [[(e.label, " ".join(e.surface(row.words))) for e in row.entities] for row in rows if row.entities]

    def examples(self, split):
        path = next(path for path in self.folder.iterdir() if path.stem == split)
        return load_bundle(None, self.loader, LoaderOptions(), files={split: path}).examples[split]


@pytest.fixture
def write(tmp_path):
    """Write files below the raw folder; returns it."""

    def write_files(files):
        root = tmp_path / "raw"
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        return root

    return write_files


@pytest.fixture
def prepare(tmp_path, capsys):
    """Run ``genner prepare`` in this process."""

    def run(name, raw, *options, loader=None):
        out = tmp_path / "out"
        code = main([name, "--raw", str(raw), "--out", str(out), *map(str, options)])
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err, out, loader or SOURCES[name].loader)

    return run
