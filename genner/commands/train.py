"""Train and score a named-entity recogniser, once per seed, and report on the run.

genner train                                     the embedded demo
genner train --dataset_name conll2003            a published recipe, corpus under --data_root
genner train --dataset_name mine --kind nested --data_root path/to --backbone scratch:small
"""

from __future__ import annotations

import argparse
import difflib
import errno
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from genner.cli import PROGRAM, say, say_loading
from genner.commands.common import command_main, command_parser, positive
from genner.commands.further import further_command
from genner.config import RECIPES, Kind, Recipe, load_recipe, recipe_path, recipe_yaml
from genner.errors import ConfigError
from genner.formulations import settings_of
from genner.names import folder_name_problem


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("train", __doc__, _run, interrupted="interrupted; repeat the command to continue")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="any recipe key, such as optim.lr=2e-5")
    parser.add_argument("--dataset_name", default="demo", help="a recipe, or a name for your own data")
    parser.add_argument("--formulation", default="pointer")
    parser.add_argument("--recipe", type=Path, help="a recipe file, instead of the dataset's own")
    parser.add_argument("--kind", choices=[kind.value for kind in Kind], help="what entities look like")
    parser.add_argument("--data_root", help="folder of the corpora, or of train/dev/test themselves (default ../data)")
    parser.add_argument("--backbone", help="hub id, folder, run to start from, or scratch:tiny|small|base")
    parser.add_argument("--seeds", nargs="+", metavar="N", help="seeds to train; scores are averaged")
    parser.add_argument("--parallel", type=positive, default=1, metavar="N", help="number of seeds to train at once")
    parser.add_argument("--on_collapse", choices=["stop", "restart"], help="what to do with a seed that collapses")
    parser.add_argument("--track", nargs="+", choices=["tensorboard", "wandb", "codecarbon"], help="more trackers")
    parser.add_argument("--limit", type=int, help="only the first N sentences of every split")
    parser.add_argument("--run_name", help="name of the run folder; repeating a command continues its run")
    parser.add_argument("--runs_dir", type=Path, default=Path("runs"))
    parser.add_argument("--check_data", action="store_true", help="only load, check and describe the data")
    parser.add_argument("--only_seed", type=int, help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(argv)
    # --seeds also takes settings that follow it
    options.overrides += [text for text in options.seeds or [] if "=" in text]
    numbers = [text for text in options.seeds or [] if "=" not in text]
    if not all(text.isdecimal() for text in numbers):
        parser.error(f"argument --seeds: {' '.join(numbers)}: expected numbers from 0 on")
    options.seeds, options.argv = [int(text) for text in numbers] or None, list(argv)
    return options


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The resolved recipe of a command line."""
    path = options.recipe or recipe_path(options.dataset_name, options.formulation)
    if not path.is_file():
        settings_of(options.formulation)  # of a formulation that does not exist, no data set has a recipe
        known = sorted(found.parent.name for found in RECIPES.glob(f"*/{options.formulation}.yaml"))
        if options.recipe or options.kind is None:
            near = difflib.get_close_matches(options.dataset_name, known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near and not options.recipe else ""
            expected = f"one of {', '.join(known)}, or " if known else ""
            raise ConfigError(
                f"{options.recipe or options.dataset_name}: no such recipe{hint}. Expected {expected}"
                "--kind flat|nested|discontinuous with --data_root for data of your own. Add these, or choose a recipe."
            )
        path = None
    flags: dict[str, Any] = {"kind": options.kind, "backbone": options.backbone, "seeds": options.seeds}
    flags |= {"data.root": options.data_root, "data.limit": options.limit}
    flags |= {"training.on_collapse": options.on_collapse, "training.track": options.track}
    if path is None or not options.recipe:
        flags |= {"dataset": options.dataset_name, "formulation": options.formulation}
    overrides = [f"seeds=[{text[5:]}]" if text.startswith("seed=") else text for text in options.overrides]
    return load_recipe(path, overrides, {key: value for key, value in flags.items() if value is not None})


def run(options: argparse.Namespace) -> int:
    """Check the data, or train every seed and report; returns the exit code."""
    recipe = recipe_of(options)
    if options.run_name is not None and (problem := folder_name_problem(options.run_name)):
        raise ConfigError(f"--run_name: {problem} Choose such a --run_name.")
    if options.only_seed is None:  # otherwise, the parent process has said it
        say_loading("torch, transformers and fastNLP")
    from genner.app import job  # late: the libraries take seconds, which --help and a misspelt key should not cost

    if options.check_data:
        print(job.check_data(recipe))
        return 0
    if options.only_seed is not None:  # the process of one seed; the one that started it holds the run folder
        job.train_seed(recipe, job.run_path(options.runs_dir, options.run_name, recipe), options.only_seed)
        return 0
    train_on = partial(further_command, options, recipe, job.run_path(options.runs_dir, options.run_name, recipe))
    with job.open_run(options.runs_dir, options.run_name, recipe, train_on) as folder:
        print(recipe_yaml(recipe))
        command = [*PROGRAM, "train", *options.argv]
        n_failed = job.train_seeds(recipe, folder, command, options.parallel)
        shown = shlex.join(["genner", "train", *options.argv]).encode("utf-8", "backslashreplace").decode()
        print(job.finish(recipe, folder, command=shown))
    return 1 if n_failed else 0


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, torch on the CPU or torch on a GPU ran out of memory."""
    signs = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in signs)


def _run(options: argparse.Namespace) -> int:
    """Explain what only training can run out of: memory and disk space."""
    try:
        return run(options)
    except (MemoryError, RuntimeError) as error:
        if options.debug or not is_out_of_memory(error):
            raise
        say(
            f"error: out of memory ({(str(error) or 'MemoryError').splitlines()[0]}). Expected a batch that fits. "
            "Lower batching.size (training.accumulate makes up for it), batching.eval_size or the --backbone."
        )
        return 1
    except OSError as error:
        if options.debug or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        say(
            f"error: {error.filename or 'disk'}: {error.strerror}. Expected room for the state and the best model; "
            "what was there before is whole. Make room and repeat the command to continue."
        )
        return 1


main = partial(command_main, parse)
