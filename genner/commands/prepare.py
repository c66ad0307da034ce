"""Turn a corpus into training files: read a source, write train, dev and test, read them back and describe them.

genner prepare conll2003 --raw originals --out ../data/conll2003     a distributor's originals
genner prepare brat --raw letters --out ../data/letters              your own annotations

`genner prepare NAME --help` lists the options of a source.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from genner.cli import say
from genner.commands.common import command_main, command_parser
from genner.data.prepare.ace import ace
from genner.data.prepare.columns import conll2003, ontonotes
from genner.data.prepare.genia import genia
from genner.data.prepare.hub import hub
from genner.data.prepare.offsets_check import OFFSETS
from genner.data.prepare.request import SPLITS, HubColumns, Request
from genner.data.prepare.standoff import brat, cadec, share
from genner.data.prepare.summary import Prepared, write_corpus
from genner.data.schema import Example
from genner.data.tally import Tally
from genner.errors import ConfigError, DataFormatError
from genner.evaluation.report import split_table

__all__ = ["SOURCES", "Source", "main"]


@dataclass(frozen=True)
class Source:
    """A distributor's layout.

    Args:
        read: reads it.
        loader: of the format to write; empty where the options decide it.
        help: what is expected in the raw folder.
        options: groups of options that it understands.
    """

    read: Callable[[Request, Tally], dict[str, list[Example]]]
    loader: str
    help: str
    options: tuple[str, ...] = ()


_TEXT = ("splits", "text")
_SECONDS_BETWEEN_LINES = 10.0

#: Name on the command line -> source; the names of recipes where there is one.
SOURCES: dict[str, Source] = {
    "conll2003": Source(conll2003, "conll", "eng.train, eng.testa, eng.testb (four columns)"),
    "en-ontonotes": Source(ontonotes, "conll", "CoNLL-2012 tree of *_gold_conll files", ("testament",)),
    "en_ace04": Source(ace, "nested", "LDC2005T09: .sgm and .apf.xml; needs --splits", _TEXT),
    "en_ace05": Source(ace, "nested", "LDC2006T06: .sgm and .apf.xml; needs --splits", _TEXT),
    "genia": Source(genia, "nested", "GENIAcorpus3.02*.xml, or train/dev/test JSON lines", ("splits",)),
    "CADEC": Source(cadec, "discontinuous", "CADEC v2: text/*.txt, original/*.ann", (*_TEXT, "shares", "labels")),
    "Share_2013": Source(share, "discontinuous", "notes and ||-delimited annotations", _TEXT),
    "Share_2014": Source(share, "discontinuous", "notes and |-delimited annotations", _TEXT),
    "brat": Source(
        brat, "discontinuous", "any folder of .txt and .ann files", (*_TEXT, "offsets", "shares", "labels", "dataset")
    ),
    "hf": Source(
        hub, "", "file, folder or name of a Hugging Face dataset", ("text", "hub", "offsets", "shares", "dataset")
    ),
}


#: Options by group, as :meth:`argparse.ArgumentParser.add_argument` takes them.
_OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "shares": {
        "--shares": {
            "nargs": 3, "type": float, "metavar": ("TRAIN", "DEV", "TEST"),
            "help": "divide what has no split of its own; 0 for a split that is there or not wanted",
        },
        "--seed": {"type": int, "default": 0, "help": "another one divides in another way"},
    },
    "splits": {"--splits": {"type": Path, "help": "file of 'split document' lines, or folder of three lists"}},
    "text": {
        "--across": {"choices": ("drop", "join"), "default": "drop", "help": "entities across sentence boundaries"},
        "--newline": {"choices": ("ends", "joins"), "help": "whether a line break ends a sentence"},
    },
    "labels": {"--labels": {"nargs": "+", "metavar": "LABEL", "help": "keep only these; 'all' keeps every label"}},
    "offsets": {
        "--offsets": {
            "choices": tuple(OFFSETS), "help": "what offsets count, if the covered texts in the source do not show it"
        },
    },
    "testament": {"--keep_new_testament": {"action": "store_true", "help": "the published setting leaves it out"}},
    "dataset": {"--dataset": {"help": "a recipe's name, to compare with its published counts"}},
    "hub": {
        "--config": {"help": "configuration of the dataset"},
        "--words": {"help": "column of words"},
        "--tags": {"help": "column of tags, one per word, in any scheme"},
        "--text": {"help": "column of raw text"},
        "--spans": {"help": "column of spans (start, end, label): of words, or of characters with --text"},
        "--inclusive": {"action": "store_true", "help": "spans end at their last word or character"},
        "--names": {"nargs": "+", "metavar": "NAME", "help": "names of numbered tags or labels, from 0 on"},
        "--document": {"metavar": "COLUMN", "help": "rows with the same value here stay in one split of --shares"},
        "--split": {"action": "append", "metavar": "dev=NAME", "help": "our split = the dataset's"},
    },
}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; every source has its own options."""
    parser = command_parser("prepare", __doc__, run, interrupted="interrupted; no incomplete files are left")
    names = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, source in SOURCES.items():
        command = names.add_parser(name, help=source.help, description=f"{name}: {source.help}")
        command.add_argument("--raw", type=Path, required=True, help="the original: " + source.help)
        command.add_argument("--out", type=Path, required=True, help="folder for train, dev and test; made if absent")
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        for group in source.options:
            for flag, settings in _OPTIONS[group].items():
                command.add_argument(flag, **settings)
    return parser.parse_args(argv)


def run(options: argparse.Namespace) -> int:
    """Write the files and print what they contain."""
    source = SOURCES[options.name]
    request = _request(options)
    _check_folders(options, source)
    say(f"reading {options.raw} ...")
    tally = Tally()
    start = time.perf_counter()
    splits = source.read(request, tally)
    splits = {split: splits[split] for split in SPLITS if split in splits}
    loader = source.loader or _loader(request, splits)
    say(f"writing {sum(map(len, splits.values())):,} sentences and reading them back ...")
    dataset = getattr(options, "dataset", None) or options.name
    print(_description(write_corpus(options.out, dataset, loader, splits, tally, start), tally))
    return 0


def _check_folders(options: argparse.Namespace, source: Source) -> None:
    raw, out = options.raw, options.out
    what = "is --raw as well" if out.resolve() == raw.resolve() else ""
    if raw.is_dir() and raw.resolve() in out.resolve().parents and options.name != "hf":
        what = "lies in --raw, all of which is read"
    if what:
        raise ConfigError(f"--out: {out} {what}. Expected a folder elsewhere, as originals stay. Choose another --out.")
    if options.name != "hf" and not raw.exists():
        raise DataFormatError(f"{raw}: no such folder. Expected {source.help}. Set --raw.")
    if options.name not in ("hf", "genia") and raw.is_file():
        raise DataFormatError(
            f"{raw}: a file. Expected a folder: {source.help}. Unpack it if it is an archive, and give its folder with "
            "--raw."
        )
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out: {out} is a file. Expected a folder, or the name of a new one. Choose another --out.")


def _loader(request: Request, splits: Mapping[str, Sequence[Example]]) -> str:
    """That of the plainest format which holds the entities of a dataset."""
    if request.hub.tags:
        return "conll"
    rows = (row for some in splits.values() for row in some)
    return "discontinuous" if any(one.is_discontinuous for row in rows for one in row.entities) else "nested"


def _description(made: Prepared, tally: Tally) -> str:
    parts = [
        split_table(split, statistics.to_dict(), changes=made.changes.get(split, ()))
        for split, statistics in made.statistics.items()
    ]
    parts.append("\n  ".join(["counted while preparing:", *(tally.lines() or ["nothing"])]))
    rate = f"{made.n_sentences:,} sentences in {made.seconds:.1f} s ({made.n_sentences / made.seconds:,.0f} a second)"
    notes = [f"note: {note}" for note in made.notes]
    return "\n\n".join([*parts, "\n".join([*notes, *made.verdict, f"{rate} -> {made.folder}"])])


def _request(options: argparse.Namespace) -> Request:
    given = vars(options)
    if given.get("splits") and given.get("shares"):
        raise ConfigError("--shares: given with --splits. Expected one of them. Leave the other out.")
    labels = given.get("labels")
    hub_names = ("config", "words", "tags", "text", "spans", "document")
    columns = {name: given[name] for name in hub_names if name in given}
    return Request(
        raw=options.raw,
        splits=given.get("splits"),
        labels=None if labels is None else tuple(label for label in labels if label != "all"),
        across=given.get("across", "drop"),
        lines=None if given.get("newline") is None else given["newline"] == "ends",
        offsets=OFFSETS.get(given.get("offsets")),
        shares=_shares(given.get("shares")),
        seed=given.get("seed", 0),
        new_testament=given.get("keep_new_testament", False),
        progress=_progress,
        hub=HubColumns(
            **columns,
            inclusive=given.get("inclusive", False),
            splits=_pairs(given.get("split") or []),
            names=tuple(given.get("names") or ()),
        ),
    )


def _progress(items: Iterable[Any], unit: str) -> Iterable[Any]:
    """The items, with a bar on standard error where that is a terminal, else a line now and then."""
    bar = tqdm(items, unit=f" {unit}", disable=not sys.stderr.isatty(), leave=False)
    last = time.monotonic()
    for number, item in enumerate(bar):
        if time.monotonic() - last > _SECONDS_BETWEEN_LINES and bar.disable:
            last = time.monotonic()
            say(f"{number:,} of {len(items):,} {unit} ..." if isinstance(items, Sized) else f"{number:,} {unit} ...")
        yield item


def _shares(numbers: Sequence[float] | None) -> tuple[float, ...] | None:
    if numbers is not None and not (min(numbers) >= 0 and 0 < numbers[0] < math.inf and sum(numbers) < math.inf):
        shown = " ".join(f"{number:g}" for number in numbers)
        raise ConfigError(
            f"--shares: {shown}. Expected three numbers from 0 on, the first one above 0. Give, for example, "
            "--shares 80 10 10."
        )
    return None if numbers is None else tuple(numbers)


def _pairs(texts: Sequence[str]) -> Mapping[str, str]:
    pairs = {}
    for text in texts:
        split, equals, name = text.partition("=")
        if split not in SPLITS or not equals or not name:
            raise ConfigError(
                f"--split: {text!r}. Expected train=NAME, dev=NAME or test=NAME. Write, for example, dev=validation."
            )
        pairs[split] = name
    return pairs

main = partial(command_main, parse)
