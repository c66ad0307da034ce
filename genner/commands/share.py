"""Share a trained model: a copy of its folder with a model card, in a folder or on the Hugging Face hub.

genner share runs/demo/model/best --to ./demo-model --license apache-2.0 --language en
genner share runs/demo/model/best --to ada/symptoms --private --data_license "own data" --language en
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import yaml

from genner.cli import say_loading
from genner.commands.common import command_main, command_parser, resolve_named
from genner.errors import ConfigError
from genner.prediction.card import CardFacts, Stated, model_card
from genner.prediction.hub_names import stated_problems
from genner.prediction.scores import ModelCalibration
from genner.prediction.sharing import FoundModel, destination_of, find_model, push, write_copy

_EXAMPLE = (
    "I woke up with pain in the left knee and shoulder. On Monday, Otto Tondwright of the University of Borbury moved "
    "to Sandmouth."
)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("share", __doc__, run, interrupted="interrupted; nothing was shared")
    parser.add_argument("model", help="a model folder ('best' of a run or a seed), a run folder, or a hub id")
    parser.add_argument("--to", required=True, metavar="FOLDER|HUB_ID", help="./folder, or user/name of the hub")
    parser.add_argument("--private", action="store_true", help="a new repository on the hub is private")
    parser.add_argument("--message", default="A trained model", help="of the commit on the hub")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier copy in the folder")
    parser.add_argument("--license", default="", help="of the model, as the hub spells it (default: not stated)")
    parser.add_argument("--data_license", default="", help="of the training data (default: not stated)")
    parser.add_argument("--language", default="", help="code of the model's language, such as en")
    parser.add_argument("--datasets", nargs="+", default=[], metavar="ID", help="ids of the datasets on the hub")
    parser.add_argument("--example", default=_EXAMPLE, help="an invented text whose entities the card shows")
    return parser.parse_args(argv)


def run(options: argparse.Namespace) -> int:
    """Copy or upload the model, and print where it is and what was left out."""
    stated = (options.license, options.language, options.datasets)
    if problems := list(stated_problems(*stated)):
        raise ConfigError("\n".join(problems))
    found = find_model(resolve_named(options.model))
    target = destination_of(options.to, found.folder, overwrite=options.overwrite)
    name = target.hub_id or target.folder.absolute().name
    finish = partial(_write_card, found, name, options)
    if target.hub_id:
        address = push(found, target.hub_id, finish, message=options.message, private=options.private)
        print(f"{target.hub_id}: {address}")
    else:
        write_copy(found, target.folder, finish)
        print(f"{target.folder}: {', '.join(sorted(path.name for path in target.folder.iterdir()))}")
    for what in found.left_out:
        print(f"left out: {what}")
    unknown = [flag for flag in ("license", "data_license", "language") if not getattr(options, flag)]
    if unknown:
        print(f"not stated in the card: {', '.join(unknown)} (--{', --'.join(unknown)})")
    return 0


def _write_card(found: FoundModel, name: str, options: argparse.Namespace, folder: Path) -> None:
    """Write the card into a copy, with the entities that the copy finds in the example."""
    say_loading("torch and transformers")
    from genner.model.folder import ModelFolder  # late: it brings torch
    from genner.prediction.recogniser import load

    language = options.language or "en"
    try:
        ner = load(folder, language=language)
    except ConfigError:  # the library has no rules for the language
        language = "xx"
        ner = load(folder, language=language)
    about, recipe = ModelFolder.read(folder), folder / "recipe.yaml"
    facts = CardFacts(
        name=name,
        labels=about.labels,
        kind=about.kind,
        formulation=about.formulation,
        recipe=yaml.safe_load(recipe.read_text(encoding="utf-8")) if recipe.is_file() else {},
        example=ner(options.example),
        language=language,
        stated=Stated(options.license, options.data_license, options.language, tuple(options.datasets)),
        seed=found.seed,
        run=found.run,
        calibration=ModelCalibration.read(folder),
        versions=(found.run or {}).get("versions") or about.versions,
    )
    (folder / "README.md").write_text(model_card(facts), encoding="utf-8")


main = partial(command_main, parse)
