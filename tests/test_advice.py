"""The last sentence of an error is followed to the letter, and then it works.

What can be parsed out of a message (a flag, a setting, a command, a name) is parsed out of it, not written down here.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from genner import cli
from genner.commands import calibrate, predict, prepare, report, share, sweep, train
from genner.config import load_recipe
from genner.data.bundle import examples_of, load_bundle
from genner.data.loaders import LOADERS
from genner.errors import ConfigError, NerError
from genner.prediction.recogniser import load
from genner.prediction.text import TextSplitter
from genner.serving.limits import Limits
from tests.test_train import FLAT, NESTED, THREE_LINES, write_corpus

SPLITS = ("train", "dev", "test")
ROWS = [{"text": "Ida met Reed.", "who": [{"start": 0, "end": 3, "label": "PER"}]}]


class Shell:
    """Commands in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def run(self, command: object, *arguments: object) -> tuple[int, str]:
        """Exit code, and what stood on standard error."""
        try:
            code = command.main([str(one) for one in arguments])
        except SystemExit as usage:
            code = int(usage.code or 0)
        return code, self.capsys.readouterr().err

    def works(self, command: object, *arguments: object) -> None:
        """The command succeeds."""
        code, err = self.run(command, *arguments)
        assert code == 0, err

    def refused(self, command: object, *arguments: object) -> str:
        """The one error with which the command is refused."""
        code, err = self.run(command, *arguments)
        assert code == 2 and "Traceback" not in err, err
        return err[err.index("error: ") + 7 :].strip()


@pytest.fixture
def shell(workplace: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Commands in an empty working folder."""
    return Shell(capsys)


def advice(error: str) -> str:
    """The last sentence of a message, or the two last where the last but one is joined to it by a semicolon."""
    return re.split(r"(?<=[.?!)]) (?=[A-Z])", error.strip())[-1]


def setting(text: str) -> str:
    """The ``key=value`` that a sentence names."""
    return re.search(r"[\w.]+=[\w.:/-]*\w", text)[0]


def flag(text: str) -> list[str]:
    """The flag that a sentence names at its end, before a comma, or to be set to what was expected."""
    return [re.search(r"--\w+(?=[.,]| to it|$)", text)[0]]


def corpus(*more: object, kind: str = "flat", root: object = "own") -> list[object]:
    """A command line that checks a corpus."""
    about = ["--dataset_name", "mine", "--kind", kind, "--data_root", root, "--backbone", "scratch:tiny"]
    return [*about, "--check_data", "data.cache=false", *more]


def write(texts: dict[str, str] = FLAT, name: str = "own", ending: str = "txt") -> Path:
    """A corpus in the working folder."""
    return write_corpus(Path(name), texts, ending)


def same(text: str) -> dict[str, str]:
    """Three splits with the same content."""
    return dict.fromkeys(SPLITS, text)


# Settings


@pytest.mark.parametrize("typed", ["optim.learning_rate=1e-3", "trainig.epochs=2", "lr=1e-3", "batch_size=4"])
def test_a_misspelt_key_is_renamed_as_meant(shell: Shell, typed: str) -> None:
    write()
    error = shell.refused(train, *corpus(typed))
    assert advice(error) == "Rename or remove it."
    meant = re.search(r"did you mean '([\w.]+)'", error)[1]
    shell.works(train, *corpus(f"{meant}={typed.partition('=')[2]}"))
    shell.works(train, *corpus())


def test_a_value_is_changed_to_what_is_expected(shell: Shell) -> None:
    write()
    for typed, good in (("optim.lr=fast", "null"), ("training.epochs=few", "3"), ("data.cache=maybe", "true")):
        error = shell.refused(train, *corpus(typed))
        assert advice(error) == "Change the value."
        assert re.search(rf"Expected .*\b({good}|number)\b", error)
        shell.works(train, *corpus(f"{typed.partition('=')[0]}={good}"))
    error = shell.refused(train, *corpus("pointer.unit=words"))
    for allowed in re.search(r"Expected one of ([\w, ]+)\.", error)[1].split(", "):
        assert load_recipe(None, [f"pointer.unit={allowed}"]).settings.unit.value == allowed


def test_a_group_and_a_plain_key_are_told_apart(shell: Shell) -> None:
    error = shell.refused(train, *corpus("optim=3"))
    assert advice(error) == "Set those."
    key = re.search(r"such as ([\w.]+)\.", error)[1]
    write()
    shell.works(train, *corpus(f"{key}=3"))
    error = shell.refused(train, *corpus("optim.lr.x=3"))
    shell.works(train, *corpus(f"{re.search(r'Set ([a-z.]+)[.]$', advice(error))[1]}=3"))


def test_a_reference_to_another_value_is_written_out(shell: Shell) -> None:
    write()
    error = shell.refused(train, *corpus("training.epochs=${optim.lr}"))
    assert advice(error) == "Write it out."
    shell.works(train, *corpus("training.epochs=4"))


def test_settings_that_are_impossible_are_possible_after_the_change(shell: Shell) -> None:
    write()
    for typed, good in (("pointer.max_len=1", 2), ("pointer.dropout=1", 0.5), ("pointer.num_beams=0", 1)):
        error = shell.refused(train, *corpus(typed))
        assert advice(error) in ("Raise it.", "Change it.")
        shell.works(train, *corpus(f"{typed.partition('=')[0]}={good}"))


# Corpora


@pytest.mark.parametrize(
    ("text", "ending", "loader"), [(THREE_LINES, "txt", "discontinuous"), (NESTED, "jsonl", "nested")]
)
def test_entities_that_a_kind_cannot_hold(shell: Shell, text: str, ending: str, loader: str) -> None:
    write(same(text), ending=ending)
    error = shell.refused(train, *corpus(f"data.loader={loader}"))
    kind = re.fullmatch(r"Set --kind (\w+)\.", advice(error))[1]
    shell.works(train, *corpus(f"data.loader={loader}", kind=kind))


def test_a_file_in_another_format(shell: Shell) -> None:
    write(same(NESTED))
    error = shell.refused(train, *corpus())
    kind = re.search(r"--kind (\w+)", error)[1]
    shell.works(train, *corpus(kind=kind))


def test_a_label_that_train_lacks(shell: Shell) -> None:
    write(FLAT | {"test": "Zuri B-SHIP\nsailed O\n"})
    error = shell.refused(train, *corpus())
    shell.works(train, *corpus(setting(advice(error))))


def test_tags_in_another_column(shell: Shell) -> None:
    turned = {split: re.sub(r"(?m)^(\S+) (\S+)$", r"\2 \1", text) for split, text in FLAT.items()}
    write(turned, "turned")
    error = shell.refused(train, *corpus(root="turned"))
    assert "data.tag_column" in error and "data.word_column" in error
    shell.works(train, *corpus("data.tag_column=0", "data.word_column=1", root="turned"))


@pytest.mark.parametrize("name", ["latin1", "utf-16"])
def test_a_file_in_another_encoding_is_converted_by_the_command_of_the_message(shell: Shell, name: str) -> None:
    folder = write(FLAT)
    (folder / "dev.txt").write_bytes("Zoë B-PER\nslept O\n".encode(name))
    error = shell.refused(train, *corpus())
    command = re.search(r"(iconv .*[^.])\.?$", error)[1]
    subprocess.run(command, shell=True, check=True)
    shell.works(train, *corpus())
    assert "Zoë" in load_bundle(folder, "conll").examples["dev"][0].words


def test_ends_that_are_exclusive(shell: Shell) -> None:
    write(same('{"sentences": [["Ida", "slept"]], "ners": [[[0, 2, "PER"]]]}\n'), ending="jsonl")
    error = shell.refused(train, *corpus(kind="nested"))
    assert advice(error).startswith("Subtract 1")
    write(same('{"sentences": [["Ida", "slept"]], "ners": [[[0, 1, "PER"]]]}\n'), ending="jsonl")
    shell.works(train, *corpus(kind="nested"))


def test_a_corpus_folder_that_is_not_there(shell: Shell) -> None:
    error = shell.refused(train, *corpus(root="nowhere"))
    write()
    shell.works(train, *corpus(root="own"))
    assert flag(advice(error)) == ["--data_root"]


def test_an_unknown_data_set_gets_a_kind_and_a_folder(shell: Shell) -> None:
    write()
    error = shell.refused(train, "--dataset_name", "letters", "--check_data")
    kind, root = re.search(r"(--kind) flat\|nested.* (--data_root)", error).groups()
    shell.works(
        train, "--dataset_name", "letters", kind, "flat", root, "own", "--check_data", "--backbone", "scratch:tiny"
    )


def test_a_backbone_that_is_not_there(shell: Shell) -> None:
    write()
    for backbone in ("./no-such-folder", "scratch:huge"):
        error = shell.refused(train, *corpus("--backbone", backbone))
        shell.works(train, *corpus("--backbone", re.search(r"scratch:tiny", error)[0]))


def test_a_device_that_is_not_there(shell: Shell, trained_model: Path) -> None:
    for device in ("cuda:7", "gpu"):
        error = shell.refused(predict, trained_model, "--text", "Ida slept.", "--device", device)
        word = re.search(r"Use (\w+)\.$", advice(error))[1]
        shell.works(predict, trained_model, "--text", "Ida slept.", "--device", word)


# Sweeps


def test_a_sweep_file(shell: Shell) -> None:
    Path("plan.txt").write_text("base: {dataset_name: demo}\ngrid: {optim.lr: [1e-3, 2e-3]}\n")
    error = shell.refused(sweep, "plan.txt", "--dry_run")
    good = re.search(r"ends in ([.\w]+)", error)[1]
    Path("plan.txt").rename(f"plan{good}")
    shell.works(sweep, f"plan{good}", "--dry_run")
    Path("other.yaml").write_text("bases: {dataset_name: demo}\ngrid: {optim.lr: [1e-3, 2e-3]}\n")
    error = shell.refused(sweep, "other.yaml", "--dry_run")
    meant = re.search(r"did you mean '(\w+)'", error)[1]
    Path("other.yaml").write_text(Path("other.yaml").read_text().replace("bases", meant))
    shell.works(sweep, "other.yaml", "--dry_run")


# Preparing


def _dataset(rows: list[dict], splits: tuple[str, ...] = ("train", "validation", "test")) -> Path:
    folder = Path("rows")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for split in splits:
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_columns_of_a_dataset(shell: Shell) -> None:
    pytest.importorskip("datasets")
    raw = _dataset(ROWS)
    error = shell.refused(prepare, "hf", "--raw", raw, "--out", "out", "--text", "text", "--spans", "entities")
    assert "--spans" in advice(error)
    (column,) = set(re.search(r"Expected one of ([\w, ]+)\.", error)[1].split(", ")) - {"text"}
    shell.works(prepare, "hf", "--raw", raw, "--out", "out", "--text", "text", "--spans", column)


def test_splits_of_other_names(shell: Shell) -> None:
    datasets = pytest.importorskip("datasets")
    raw = Path("saved")
    datasets.DatasetDict(dict.fromkeys(("one", "two", "three"), datasets.Dataset.from_list(ROWS))).save_to_disk(raw)
    command = ["hf", "--raw", raw, "--out", "out", "--text", "text", "--spans", "who"]
    for name in ("one", "two", "three"):
        option, split = re.search(r"(--split) (\w+=)NAME", shell.refused(prepare, *command)).groups()
        command += [option, split + name]
    shell.works(prepare, *command)


def test_a_dataset_with_one_split_is_divided(shell: Shell) -> None:
    pytest.importorskip("datasets")
    command = ["hf", "--raw", _dataset(ROWS * 20, ("train",)), "--out", "out", "--text", "text", "--spans", "who"]
    error = shell.refused(prepare, *command)
    shell.works(prepare, *command, *re.search(r"--shares [\d ]+\d", error)[0].split())


def test_a_folder_that_is_original_and_result(shell: Shell) -> None:
    raw = Path("letters")
    for split in SPLITS:
        (raw / split).mkdir(parents=True)
        (raw / split / "a.txt").write_text("Ida slept.")
        (raw / split / "a.ann").write_text("T1\tPER 0 3\tIda\n")
    error = shell.refused(prepare, "brat", "--raw", raw, "--out", raw)
    shell.works(prepare, "brat", "--raw", raw, *flag(advice(error)), "prepared")
    error = shell.refused(prepare, "brat", "--raw", "nowhere", "--out", "again")
    shell.works(prepare, "brat", *flag(advice(error)), raw, "--out", "again")


# Prediction


def test_an_output_that_exists(shell: Shell, trained_model: Path) -> None:
    arguments = [trained_model, "--text", "Ida slept.", "--output", "found.jsonl", "--device", "cpu"]
    shell.works(predict, *arguments)
    error = shell.refused(predict, *arguments)
    shell.works(predict, *arguments, *flag(advice(error)))


def test_a_choice_that_does_not_exist(shell: Shell, trained_model: Path) -> None:
    error = shell.refused(predict, trained_model, "--text", "Ida slept.", "num_beam=2", "--device", "cpu")
    meant = re.search(r"did you mean '(\w+)'", error)[1]
    shell.works(predict, trained_model, "--text", "Ida slept.", f"{meant}=2", "--device", "cpu")
    error = shell.refused(predict, trained_model, "--text", "Ida slept.", "--device", "cpu", "beams")
    shell.works(predict, trained_model, "--text", "Ida slept.", "--device", "cpu", setting(advice(error)))


def test_a_folder_that_is_no_model(shell: Shell, trained_run: Path, tmp_path: Path) -> None:
    error = shell.refused(predict, tmp_path / "nowhere", "--text", "Ida slept.")
    named = re.search(r"folder '(\w+)' of a finished run", error)[1]
    shell.works(predict, trained_run / named, "--text", "Ida slept.", "--device", "cpu")


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "model.json", "model.safetensors"])
def test_a_damaged_model_is_copied_again(shell: Shell, trained_model: Path, name: str) -> None:
    shutil.copytree(trained_model, "model")
    content = (trained_model / name).read_bytes()
    (Path("model") / name).write_bytes(content[: len(content) // 2])
    error = shell.refused(predict, "model", "--text", "Ida slept.", "--device", "cpu")
    assert advice(error) == "Copy the whole folder again."
    shutil.copytree(trained_model, "model", dirs_exist_ok=True)
    shell.works(predict, "model", "--text", "Ida slept.", "--device", "cpu")


def test_a_damaged_calibration_is_removed(shell: Shell, trained_model: Path) -> None:
    shutil.copytree(trained_model, "model")
    path = Path("model") / "calibration.json"
    for content in ('{"format": 77}', "{"):
        path.write_text(content)
        error = shell.refused(predict, "model", "--text", "Ida slept.", "--device", "cpu")
        assert re.search(r"emove (it|the file)", advice(error))
        path.unlink()
        shell.works(predict, "model", "--text", "Ida slept.", "--device", "cpu")


def test_a_folder_without_files_to_read(shell: Shell, trained_model: Path) -> None:
    Path("notes").mkdir()
    Path("notes", "a.md").write_text("Ida slept.")
    error = shell.refused(predict, trained_model, "--input", "notes", "--output", "o.jsonl", "--device", "cpu")
    ending = re.search(r"end in .*?(\.\w+)", error)[1]
    Path("notes", "a.md").rename(Path("notes", f"a{ending}"))
    code, err = shell.run(predict, trained_model, "--input", "notes", "--output", "o.jsonl", "--device", "cpu")
    assert code != 2, err  # the file is found; whether its content is of the format is another matter


def test_texts_without_known_entities_do_not_calibrate(shell: Shell, trained_model: Path) -> None:
    shutil.copytree(trained_model, "model")
    Path("texts.jsonl").write_text('{"text": "Ida slept."}\n' * 3)
    error = shell.refused(calibrate, "model", "--input", "texts.jsonl", "--device", "cpu")
    assert re.search(r"entities|gold", error)


# Reports and copies


def test_a_folder_without_finished_runs(shell: Shell, trained_run: Path) -> None:
    Path("runs", "demo").mkdir(parents=True)
    error = shell.refused(report, "runs")
    assert re.search(r"[Ee]xpected", error)
    shutil.copytree(trained_run, Path("runs", "demo", "small"), symlinks=True)
    shell.works(report, "runs", "--out", "tables")


def test_a_damaged_run_is_copied_again(shell: Shell, trained_run: Path) -> None:
    shutil.copytree(trained_run, "run", symlinks=True)
    result = json.loads(Path("run", "result.json").read_text())
    Path("run", "result.json").write_text(
        json.dumps({key: value for key, value in result.items() if key != "reported"})
    )
    error = shell.refused(report, "run", "--out", "tables")
    assert "opy the whole run folder again" in error
    shutil.copyfile(trained_run / "result.json", Path("run", "result.json"))
    shell.works(report, "run", "--out", "tables")


def test_a_copy_that_exists(shell: Shell, trained_model: Path) -> None:
    shell.works(share, trained_model, "--to", "./copy")
    error = shell.refused(share, trained_model, "--to", "./copy")
    shell.works(share, trained_model, "--to", "./copy", *flag(advice(error)))


# The command itself, and Python


def test_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trian"]) == 2
    command = re.search(r"Run genner (--\w+)\.$", advice(capsys.readouterr().err))[1]
    assert cli.main([command]) == 0


def _followed(call: Callable[..., object], wrong: dict, change: Callable[[str], dict]) -> None:
    with pytest.raises(NerError) as caught:
        call(**wrong)
    call(**change(str(caught.value)))


def test_options_of_python(trained_model: Path) -> None:
    def opened(**options: object) -> object:
        return load(trained_model, device="cpu", **options)

    _followed(opened, {"windo": 64}, lambda text: {re.search(r"did you mean '(\w+)'", text)[1]: 64})
    _followed(opened, {"passage": "page"}, lambda text: {"passage": re.search(r"one of (\w+)", text)[1]})
    _followed(opened, {"min_score": 2}, lambda text: {"min_score": float(re.search(r"from \d to (\d)", text)[1])})
    _followed(opened, {"window": 3}, lambda text: {"window": int(re.search(r"at least (\d+)", text)[1])})
    _followed(TextSplitter, {"rules": "nltk"}, lambda text: {"rules": re.search(r"one of (\w+)", text)[1]})
    _followed(TextSplitter, {"language": "klingon"}, lambda text: {"language": re.search(r"such as (\w+)", text)[1]})
    _followed(
        Limits,
        {"max_waiting": 3, "max_texts": 9},
        lambda text: {"max_waiting": int(re.search(r"\((\d+)\)", text)[1]), "max_texts": 9},
    )


def test_loaders_of_python(workplace: Path) -> None:
    write()
    with pytest.raises(ConfigError) as caught:
        load_bundle("own", "conl")
    known = re.search(r"one of ([\w, ]+)\.", str(caught.value))[1].split(", ")
    assert set(known) == set(LOADERS)
    load_bundle("own", known[0])


def test_a_hand_made_bundle() -> None:
    from fastNLP import DataSet

    rows = {
        "raw_words": [["Ida", "slept"]],
        "entities": [[["Ida"]]],
        "entity_tags": [["PER"]],
        "entity_spans": [[[0, 0]]],
    }
    with pytest.raises(NerError) as caught:
        examples_of(DataSet(rows), "train")
    n_added = int(re.search(r"Add (\d) to the ends\.$", advice(str(caught.value)))[1])
    start, end = rows["entity_spans"][0][0]
    (found,) = examples_of(DataSet(rows | {"entity_spans": [[[start, end + n_added]]]}), "train")
    assert found.entities[0].flat == [0, 1]
