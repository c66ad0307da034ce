"""Recipes: precedence, and one message for everything that is wrong."""

from pathlib import Path

import pytest

from genner.config import Kind, corpus_folder, load_recipe, recipe_path, recipe_yaml, scoring_settings
from genner.errors import ConfigError

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*/*.yaml"))
PUBLISHED = {"conll2003", "en-ontonotes", "en_ace04", "en_ace05", "genia", "CADEC", "Share_2013", "Share_2014"}


def test_every_published_set_has_a_recipe() -> None:
    assert {path.parent.name for path in RECIPES} == PUBLISHED | {"demo"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.parent.name)
def test_recipe_loads_and_round_trips(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.dataset == path.parent.name
    assert path.parent == recipe_path(recipe.dataset, recipe.formulation).parent
    copy = tmp_path / "recipe.yaml"
    copy.write_text(recipe_yaml(recipe), encoding="utf-8")
    assert load_recipe(copy) == recipe


@pytest.mark.parametrize(
    "path", [path for path in RECIPES if path.parent.name in PUBLISHED], ids=lambda path: path.parent.name
)
def test_published_values_name_their_source(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for line in text.splitlines():
        value = line.split("#")[0].split(": ", 1)
        is_setting = len(value) == 2 and value[0].strip() in (
            "backbone", "lr", "weight_decay", "schedule", "warmup_ratio", "clip_value", "epochs", "evaluate_from",
            "max_len", "max_len_ratio", "num_beams", "length_penalty", "unit", "decoder_type", "encoder_mlp",
            "batching", "labels", "collapse_below",
        )  # fmt: skip
        if is_setting:
            assert "[R]" in line or "[P]" in line, line
    assert load_recipe(path).reported["word"]


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("conll2003", (10, 0.6, 1e-5, 1, "word", 15, 16)),
        ("en-ontonotes", (10, 0.8, 1e-5, 1, "word", 15, 3000)),
        ("CADEC", (10, 1.6, 2e-5, 4, "word", 10, 16)),
        ("Share_2013", (10, 0.6, 2e-5, 4, "word", 5, 16)),
        ("Share_2014", (10, 0.6, 1e-5, 4, "word", 5, 16)),
        ("genia", (10, 0.5, 2e-5, 1, "span", 15, 3000)),
        ("en_ace04", (50, 1.1, 4e-5, 1, "word", 15, 16)),
        ("en_ace05", (50, 0.7, 3e-5, 4, "word", 15, 12)),
    ],
)
def test_published_hyper_parameters(dataset: str, expected: tuple) -> None:
    recipe = load_recipe(recipe_path(dataset))
    pointer = recipe.settings
    assert expected == (
        pointer.max_len, pointer.max_len_ratio, recipe.optim.lr, pointer.num_beams, pointer.unit.value,
        recipe.training.evaluate_from, recipe.batching.size,
    )  # fmt: skip


def test_command_line_beats_recipe_beats_default() -> None:
    recipe = load_recipe(recipe_path("en_ace05"), ["optim.lr=1e-4"], {"kind": "flat", "data.root": "x=y"})
    assert recipe.optim.lr == 1e-4
    assert recipe.optim.warmup_ratio == 0.1
    assert (recipe.kind, recipe.data.root, recipe.data.loader) == (Kind.flat, "x=y", "conll")


def test_defaults_depend_on_the_backbone_and_on_compat() -> None:
    assert load_recipe(None, ["backbone=scratch:small"]).optim.lr == 5e-4
    assert load_recipe(None).optim.lr == 2e-5
    assert load_recipe(None).settings.constrained is True
    assert load_recipe(None, ["compat=reference"]).settings.constrained is False
    assert load_recipe(None).training.fit_on_dev is True
    assert load_recipe(None, ["compat=reference"]).training.fit_on_dev is False
    assert load_recipe(None, ["compat=reference", "training.fit_on_dev=true"]).training.fit_on_dev is True
    assert load_recipe(None).settings.give_up is None
    with pytest.raises(ConfigError, match=r"sampled_prefix is set with compat: reference, which has none"):
        load_recipe(None, ["compat=reference", "pointer.sampled_prefix=0.1"])
    with pytest.raises(ConfigError, match=r"sampled_prefix is 1.0. Expected a share from 0 to below 1"):
        load_recipe(None, ["pointer.sampled_prefix=1"])
    with pytest.raises(ConfigError, match=r"give_up is 1.5. Expected 0 \(never\) to 1 \(always\)"):
        load_recipe(None, ["pointer.give_up=1.5"])


@pytest.mark.parametrize(
    ("settings", "masked", "share"),
    [
        (["kind=flat"], True, 0.15),
        (["kind=nested"], True, 0.15),
        (["kind=nested", "pointer.sampled_prefix=0.3"], True, 0.3),
        (["kind=nested", "pointer.sampled_prefix=0"], True, 0.0),
        (["kind=flat", "pointer.masked=false"], False, 0.0),
        (["kind=flat", "pointer.give_up=0.5"], False, 0.0),
        (["kind=flat", "pointer.constrained=false"], False, 0.0),
        (["kind=flat", "compat=reference"], False, 0.0),
        (["kind=discontinuous"], False, 0.0),
    ],
)
def test_what_is_trained_depends_on_the_kind_and_on_the_search(settings: list[str], masked: bool, share: float) -> None:
    found = load_recipe(None, settings).settings
    assert (found.masked, found.sampled_prefix) == (masked, share)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.parent.name)
def test_recipes_with_published_scores_decide_nothing_on_dev(path: Path) -> None:
    recipe = load_recipe(path)
    is_published = recipe.dataset in PUBLISHED
    assert (recipe.settings.constrained, recipe.training.fit_on_dev) == (not is_published, not is_published)


def test_a_short_trial_is_evaluated_at_its_end() -> None:
    assert load_recipe(recipe_path("conll2003"), ["training.epochs=2"]).training.evaluate_from == 2


def test_all_problems_are_told_at_once_with_the_nearest_key(tmp_path: Path) -> None:
    folder = tmp_path / "genia"
    folder.mkdir()
    path = folder / "pointer.yaml"
    path.write_text(
        "optim: {learning_rate: 1, lr: fast}\npointer: {unit: words}\ntraning: {epochs: 3}\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError) as caught:
        load_recipe(path, ["optim.clip_valeu=3", "loose", "seeds=[1"])
    message = str(caught.value)
    assert "genia/pointer.yaml: unknown key 'optim.learning_rate'" in message
    assert "(did you mean 'optim.lr'?)" in message
    assert "genia/pointer.yaml: optim.lr: 'fast' cannot be used. Expected a number, or null." in message
    assert "pointer.unit: 'words' cannot be used. Expected one of word, span, bpe, span_bpe." in message
    assert "unknown key 'traning.epochs'" in message
    assert "(did you mean 'training.epochs'?)" in message
    assert "command line: unknown key 'optim.clip_valeu'" in message
    assert "'loose' is no setting" in message
    assert "'seeds=[1' has unbalanced brackets" in message
    assert len(message.splitlines()) == 7


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("lr", "optim.lr"),
        ("epochs", "training.epochs"),
        ("dropout", "pointer.dropout"),
        ("batch_size", "batching.size"),
        ("beams", "pointer.num_beams"),
        ("beam_size", "pointer.num_beams"),
        ("learning_rate", "optim.lr"),
        ("warmup_steps", "optim.warmup_ratio"),
        ("max_length", "pointer.max_len"),
        ("grad_clip", "optim.clip_value"),
        ("training.lr", "optim.lr"),
        ("device", "training.device"),
        ("generation.num_beams", "pointer.num_beams"),
        ("codec.unit", "pointer.unit"),
        ("pointer.num_beam", "pointer.num_beams"),
        ("optm.lr", "optim.lr"),
        ("data.word_colum", "data.word_column"),
    ],
)
def test_the_nearest_key_is_found_wherever_it_lies(key: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=rf"unknown key '{key}'.*\(did you mean '{meant}'\?\)"):
        load_recipe(None, [f"{key}=1"])


def test_text_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("dataset: no\nlabels: {NO: on, PER: 1e3, LOC: yes}\nseeds: [1, 2]\noptim: {lr: 1e-4}\n")
    recipe = load_recipe(path, ["labels.PER.NAM=off", "labels.PER=null", "data.root=~"])
    assert recipe.dataset == "no"
    assert recipe.labels == {"NO": "on", "PER": "null", "LOC": "yes", "PER.NAM": "off"}
    assert (recipe.seeds, recipe.optim.lr, recipe.data.root) == ([1, 2], 1e-4, None)
    copy = tmp_path / "copy.yaml"
    copy.write_text(recipe_yaml(recipe), encoding="utf-8")
    assert load_recipe(copy) == recipe


@pytest.mark.parametrize(
    "override", ["labels.PER=${x}", "backbone=${oc.env:HOME}", "optim.lr=${optim.lr}", "reported.f=${x}"]
)
def test_nothing_is_interpolated(override: str) -> None:
    with pytest.raises(ConfigError, match=r"refers to another value. Expected the value itself. Write it out."):
        load_recipe(None, [override])


@pytest.mark.parametrize("name", ["a/b", "../up", "CON", "with blank"])
def test_a_data_set_names_a_folder(name: str) -> None:
    with pytest.raises(ConfigError, match=r"dataset: .* cannot name a folder everywhere. Expected at most 100 bytes"):
        load_recipe(None, [f"dataset={name}"])


def test_the_block_of_another_formulation_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'tokens.scheme'. Expected one of dataset, .*, pointer "):
        load_recipe(None, ["tokens.scheme=bio"])
    with pytest.raises(ConfigError, match=r"unknown name 'pointr' \(did you mean 'pointer'\?\)"):
        load_recipe(None, ["formulation=pointr"])


def test_settings_that_do_not_shape_scores_are_left_out() -> None:
    recipe, other = load_recipe(None), load_recipe(None, ["data.root=x", "training.device=cpu", "pointer.draft_len=0"])
    assert scoring_settings(recipe) == scoring_settings(other)
    assert scoring_settings(recipe)["pointer.unit"] == "word"
    assert scoring_settings(recipe) != scoring_settings(load_recipe(None, ["pointer.unit=span"]))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs=0", "training.epochs is 0. Expected more than 0"),
        ("optim.lr=-1", "optim.lr is -1"),
        ("optim.lr=nan", "cannot be used. Expected a number"),
        ("pointer.max_len=1", "pointer.max_len is 1. Expected at least 2"),
        ("pointer.dropout=1", "pointer.dropout is 1"),
        ("seeds=[1,1]", "one or more different numbers"),
        ("seeds=[]", "one or more different numbers"),
        ("seeds=3", "Expected a list in brackets"),
        ("data.dev_every=4", "Expected both or neither"),
        ("labels=x", "Expected a mapping"),
        ("labels={PER: {NAM: person}}", "Expected a mapping of text to text"),
        ("optim=3", "Expected settings below it, such as optim.lr"),
        ("optim.lr.x=3", "holds no further keys"),
    ],
)
def test_impossible_values_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        load_recipe(None, [override])


def test_broken_recipe_files(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be read as a recipe"):
        load_recipe(path)
    path.write_text("optim: {lr: 1, lr: 2}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="duplicate key lr"):
        load_recipe(path)
    path.write_text("- 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="Expected a YAML mapping"):
        load_recipe(path)
    with pytest.raises(ConfigError, match="cannot be read as a recipe"):
        load_recipe(tmp_path / "none.yaml")


def test_corpus_folder_is_inside_the_root_or_the_root(tmp_path: Path) -> None:
    recipe = load_recipe(None, [], {"dataset": "mine", "data.root": str(tmp_path)})
    assert corpus_folder(recipe) == tmp_path / "mine"
    (tmp_path / "train.txt").touch()
    assert corpus_folder(recipe) == tmp_path
    (tmp_path / "mine").mkdir()
    assert corpus_folder(recipe) == tmp_path / "mine"


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"labels.PER: '\\udce9' is not UTF-8. Expected text. Set your locale"):
        load_recipe(None, ["labels.PER=\udce9"])
