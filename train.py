"""Train and score a named-entity recogniser: recipe -> corpus -> objects -> fit -> report.

python train.py                                     the embedded demo
python train.py --dataset_name conll2003            a published recipe, corpus under --data_root
python train.py --dataset_name mine --kind nested --data_root path/to --backbone scratch:small
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import logging
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from config import RECIPES, Kind, Recipe, load_recipe, recipe_path, recipe_yaml
from errors import ConfigError, NerError

logger = logging.getLogger("train")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="any recipe key, such as optim.lr=2e-5")
    parser.add_argument("--dataset_name", default="demo", help="a recipe, or a name for your own data")
    parser.add_argument("--formulation", default="pointer")
    parser.add_argument("--recipe", type=Path, help="a recipe file, instead of the dataset's own")
    parser.add_argument("--kind", choices=[kind.value for kind in Kind], help="what entities look like")
    parser.add_argument("--data_root", help="folder of the corpora, or of train/dev/test themselves (default ../data)")
    parser.add_argument("--backbone", help="hub id, local folder, scratch:tiny|small|base or scratch-t5:tiny|small")
    parser.add_argument("--seeds", nargs="+", metavar="N", help="one run each, averaged")
    parser.add_argument("--limit", type=int, help="only the first N sentences of every split")
    parser.add_argument("--run_name", help="names the run folder; repeating a command continues its run")
    parser.add_argument("--runs_dir", type=Path, default=Path("runs"))
    parser.add_argument("--check_data", action="store_true", help="only load, check and describe the data")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--only_seed", type=int, help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(argv)
    # --seeds takes all that follows it, settings too
    options.overrides += [text for text in options.seeds or [] if "=" in text]
    numbers = [text for text in options.seeds or [] if "=" not in text]
    if not all(text.isdecimal() for text in numbers):
        parser.error(f"argument --seeds: {' '.join(numbers)}: expected numbers from 0 on")
    options.seeds = [int(text) for text in numbers] or None
    return options


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The resolved recipe of a command line."""
    path = options.recipe or recipe_path(options.dataset_name, options.formulation)
    if not path.is_file():
        known = sorted(folder.name for folder in RECIPES.iterdir())
        if options.recipe or options.kind is None:
            near = difflib.get_close_matches(options.dataset_name, known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near and not options.recipe else ""
            raise ConfigError(
                f"{options.recipe or options.dataset_name}: no such recipe{hint}. Expected one of {', '.join(known)}, "
                "or --kind flat|nested|discontinuous with --data_root for data of your own."
            )
        path = None
    flags: dict[str, Any] = {"kind": options.kind, "backbone": options.backbone, "seeds": options.seeds}
    flags |= {"data.root": options.data_root, "data.limit": options.limit}
    if path is None or not options.recipe:
        flags |= {"dataset": options.dataset_name, "formulation": options.formulation}
    overrides = [f"seeds=[{text[5:]}]" if text.startswith("seed=") else text for text in options.overrides]
    return load_recipe(path, overrides, {key: value for key, value in flags.items() if value is not None})


def run(options: argparse.Namespace, argv: Sequence[str]) -> None:
    """Check the data, or train every seed and report."""
    recipe = recipe_of(options)
    from app import job  # late: the libraries take seconds, which --help and a misspelt key should not cost

    if options.check_data:
        print(job.check_data(recipe))
        return
    name = options.run_name or default_name(recipe)
    folder = job.open_run(options.runs_dir / recipe.dataset / name, recipe)
    if options.only_seed is not None:
        job.train_seed(recipe, folder, options.only_seed)
        return
    print(recipe_yaml(recipe))
    for seed in recipe.seeds:
        if job.is_finished(folder, seed):
            logger.info("seed %d is finished: %s", seed, folder.seed(seed) / "result.json")
        elif len(recipe.seeds) == 1:
            job.train_seed(recipe, folder, seed)
        else:  # its own process, so that no seed inherits memory or random state from another
            command = [sys.executable, str(Path(__file__).resolve()), *argv, "--only_seed", str(seed)]
            code = subprocess.run(command, check=False).returncode
            if code:
                raise SystemExit(code)
    print(job.finish(recipe, folder, command=shlex.join(["python", "train.py", *argv])))


def default_name(recipe: Recipe) -> str:
    """A run name that says what is special about the recipe, and differs for different recipes."""
    backbone = recipe.backbone.rstrip("/").split("/")[-1].replace(":", "-")
    settings = replace(recipe, seeds=[0])  # seeds may be added to a run, so they are no part of its name
    digest = hashlib.sha256(recipe_yaml(settings).encode()).hexdigest()[:6]
    return f"{recipe.formulation}-{backbone}-{recipe.codec.unit.value}-{digest}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, torch on the CPU or torch on a GPU ran out of memory."""
    signs = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in signs)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code: 0 done, 2 usage or data error, 130 interrupted, 1 anything else."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = parse(argv)
    try:
        run(options, argv)
    except NerError as error:
        if options.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if options.debug or not is_out_of_memory(error):
            raise
        print(
            f"error: out of memory ({(str(error) or 'MemoryError').splitlines()[0]}). Expected a batch that fits. "
            "Lower batching.size (training.accumulate makes up for it), batching.eval_size or the --backbone.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("interrupted; repeat the command to continue", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
