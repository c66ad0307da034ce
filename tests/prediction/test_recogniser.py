"""The recogniser on a small trained model: the answers of the evaluation, at their places in the text, in order."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.guided import GuidedModel
from genner import load
from genner.data.labels import LabelSet
from genner.data.schema import Entity, Segment
from genner.errors import ConfigError, DataFormatError, InputTypeError
from genner.evaluation.thresholds import LeastScores
from genner.formulations.pointer.settings import OpenSettings
from genner.formulations.pointer.task import PointerTask, Target
from genner.model.folder import ModelFolder
from genner.model.pointer import PointerConfig, PointerModel
from genner.model.sources import load_backbone
from genner.prediction.pictures import render
from genner.prediction.recogniser import PredictOptions, Recogniser
from genner.prediction.results import TextInput, TextResult, words_joined

TEXT = (
    "I woke up with pain in the left knee and shoulder. On Monday, Otto Tondwright bought a farm near Lake Borbury.\r\n"
)


@pytest.fixture(scope="module")
def ner(trained_model: Path) -> Recogniser:
    return load(trained_model)


@pytest.fixture(scope="module")
def judged(trained_run: Path) -> list[dict]:
    """Lines of the predictions that training left of the test split."""
    path = (trained_run / "best").resolve().parent / "predictions.test.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()][:200]


def found(result: TextResult) -> list[tuple]:
    return sorted((entity.type, entity.words.flat) for entity in result)


def test_given_words_get_the_answers_of_the_evaluation(ner: Recogniser, judged: list[dict]) -> None:
    results = ner.predict_words([line["raw_words"] for line in judged])
    assert sum(map(len, results)) > 200
    for line, result in zip(judged, results, strict=True):
        expected = sorted((one["type"], [word for span in one["spans"] for word in span]) for one in line["pred"])
        assert found(result) == expected
        assert result.raw_words == line["raw_words"]


def test_places_in_the_text(ner: Recogniser) -> None:
    result = ner(TEXT)
    assert isinstance(result, TextResult) and len(result) > 0
    assert len(result.sentences) == 2
    for entity in result:
        for part in entity.segments:
            assert TEXT[part.start : part.end] == part.text
            words = result.words[part.word_start : part.word_end]
            assert (words[0].start, words[-1].end) == (part.start, part.end)
        assert 0 < entity.score <= 1
    starts = [entity.start for entity in result]
    assert starts == sorted(starts)
    assert json.loads(json.dumps(result.record()))["entities"][0]["segments"][0]["words"]


def test_results_keep_the_order_of_the_texts(ner: Recogniser, trained_model: Path, judged: list[dict]) -> None:
    texts = [" ".join(line["raw_words"]) for line in judged]
    texts[5:5] = ["", "  \t"]
    together = ner(texts)
    assert [result.text for result in together] == texts
    assert [result.id for result in together] == [str(number) for number in range(len(texts))]
    small = load(trained_model, chunk_words=40, batch_size=3)
    for one, other in zip(together, small(texts), strict=True):
        assert found(one) == found(other)
    assert [found(result) for result in map(ner, texts[:12])] == [found(result) for result in together[:12]]


def test_texts_are_taken_in_as_they_are_needed(trained_model: Path) -> None:
    ner = load(trained_model, chunk_words=40)
    taken = []

    def texts() -> Iterator[str]:
        for number in range(1000):
            taken.append(number)
            yield "My left knee hurts since Monday."

    results = ner.stream(texts())
    for number in range(30):
        assert next(results).id == str(number)
    assert len(taken) < 50


def test_texts_that_cannot_be_read_do_not_stop_the_others(ner: Recogniser, trained_model: Path) -> None:
    small = load(trained_model, max_chars=200)
    given = [TEXT, "x" * 201, 7, TextInput("", "page", error="page.txt: no UTF-8"), TEXT]
    results = list(small.stream(given))
    assert [result.error is None for result in results] == [True, False, False, False, True]
    assert "201 characters. Expected at most 200" in results[1].error
    assert "text 2: an int. Expected a string." in results[2].error
    assert (results[3].id, results[3].error) == ("page", "page.txt: no UTF-8")
    assert found(results[0]) == found(results[4]) == found(ner(TEXT))
    with pytest.raises(DataFormatError, match="201 characters"):
        small("x" * 201)


def test_a_failure_within_the_model_hits_one_text_only(trained_model: Path) -> None:
    ner = load(trained_model)

    read = ner.task.read

    def brittle(passages: Sequence[Sequence[str]], options: object) -> Iterator[object]:
        """Fails on one word as it would when memory runs out."""
        if any("boom" in words for words in passages):
            raise RuntimeError("DefaultCPUAllocator: not enough memory")
        return read(passages, options)

    ner.task.read = brittle
    results = ner([TEXT] * 5 + ["It went boom ."] + [TEXT] * 4)
    assert [result.error is None for result in results] == [number != 5 for number in range(10)]
    assert results[5].error == "text 5: cannot be read: DefaultCPUAllocator: not enough memory"
    assert len({str(found(result)) for number, result in enumerate(results) if number != 5}) == 1


@pytest.mark.parametrize("text", ["", " ", "\r\n\t", "\u200b\n"])
def test_texts_without_words(ner: Recogniser, text: str) -> None:
    result = ner(text)
    assert result.error is None and len(result) == 0


def test_odd_characters(ner: Recogniser) -> None:
    for text in (
        "\ud800 pain in the knee",
        "\x00\x07",
        "e\u0301" * 50,
        "\U0001f469\u200d\U0001f467 knee",
        "<s> </s> <mask>",
    ):
        for entity in ner(text):
            assert all(text[part.start : part.end] == part.text for part in entity.segments)


def test_long_sentences_and_words_are_read_in_full(ner: Recogniser, trained_model: Path) -> None:
    sentence = "my left knee hurts and " * 300
    result = load(trained_model, window=48)(sentence)
    assert not result.notes
    last_words = {entity.words.start // 60 for entity in result}
    assert len(last_words) > 20  # entities from all over the sentence
    result = ner(f"My knee hurts {'ab1' * 5000} near my left knee")
    assert [note.split(" ", 1)[1] for note in result.notes] == [
        "words too long for the model, which saw their beginnings only"
    ]
    narrow = load(trained_model, window=16)
    assert narrow("\U0001f469" * 100 + " knee").error is None


def test_sentences_or_documents(ner: Recogniser, trained_model: Path) -> None:
    whole = load(trained_model, passage="document")(TEXT)
    assert whole.sentences == ner(TEXT).sentences
    seen = {(entity.words.start, entity.words.end) for entity in whole}
    assert all(0 <= start < end <= len(whole.words) for start, end in seen)


def test_sentences_of_given_words(ner: Recogniser) -> None:
    words = ["my", "left", "knee", "hurts", ".", "my", "left", "knee", "hurts", "."]
    two = words_joined(words, sentences=(Segment(0, 5), Segment(5, 10)))
    one, other = (found(result) for result in (next(ner.stream([two])), ner.predict_words([words[:5]])[0]))
    assert one == sorted([*other, *((label, [offset + 5 for offset in flat]) for label, flat in other)])
    examples, crossing = next(ner.stream([two])).examples()
    assert not crossing and examples[0] == examples[1]


def test_scores_and_beams(ner: Recogniser, trained_model: Path) -> None:
    sure = load(trained_model, min_score=0.9)(TEXT)
    assert found(sure) == found(load(trained_model, min_score=0)(TEXT).at_least(LeastScores(0.9)))
    assert load(trained_model, num_beams=3)(TEXT).error is None


def test_threads_get_their_own_answers(ner: Recogniser, judged: list[dict]) -> None:
    texts = [" ".join(line["raw_words"]) for line in judged[:40]]
    alone = [found(ner(text)) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert [found(result) for result in pool.map(ner, texts)] == alone


@pytest.mark.parametrize("given", [None, b"pain", {"text": "pain"}, 7])
def test_what_is_no_text(ner: Recogniser, given: object) -> None:
    with pytest.raises(TypeError, match="Expected a string, or a list of strings"):
        ner(given)
    with pytest.raises(InputTypeError, match="Expected a string, or a list of strings"):
        ner.stream(given)
    with pytest.raises(InputTypeError, match="load: the model is"):
        load(given)


def test_a_sentence_with_a_blank_word_does_not_stop_the_others(ner: Recogniser) -> None:
    one, blank, other = ner.predict_words([["my", "left", "knee"], ["my", " ", "knee"], ["my", "left", "knee"]])
    assert blank.error.startswith("text 1: word 1 is empty or blank.") and not len(blank)
    assert found(one) == found(other) != []
    assert "Not read" in render([one, blank, other])


def test_progress_counts_texts_and_words(trained_model: Path) -> None:
    ner = load(trained_model, chunk_words=30, batch_size=2)
    calls: list[tuple[float, int]] = []
    texts = [TEXT, "", "x" * 300, *[TEXT] * 3]
    results = list(ner.stream(texts, progress=lambda *counts: calls.append(counts)))
    n_words = [len(result.words) for result in results]
    assert calls == sorted(calls) and calls[-1] == (len(texts), sum(n_words))
    assert any(isinstance(n_texts, float) and n_texts % 1 for n_texts, _ in calls), "also within a text"


def test_progress_is_right_where_a_text_fails(trained_model: Path) -> None:
    ner = load(trained_model)
    read = ner.task.read

    def brittle(passages: Sequence[Sequence[str]], options: object) -> Iterator[object]:
        """Reads, then fails."""
        yield from read(passages, options)
        if any("boom" in words for words in passages):
            raise RuntimeError("no memory")

    ner.task.read = brittle
    calls: list[tuple[float, int]] = []
    list(ner.stream([TEXT, "It went boom .", TEXT], progress=lambda *counts: calls.append(counts)))
    assert calls[-1][0] == 3 and max(n_texts for n_texts, _ in calls) == 3


def test_a_pickled_recogniser_is_opened_again(trained_model: Path) -> None:
    ner = load(trained_model, min_score=0.5, num_beams=2)
    again = pickle.loads(pickle.dumps(ner))
    assert again is not ner and (again.options, again.choices) == (ner.options, ner.choices)
    assert found(again(TEXT)) == found(ner(TEXT))


def test_forked_processes_may_read(trained_model: Path) -> None:
    """In a process of its own, with more threads than this one may have, while another thread is reading."""
    code = f"""
import multiprocessing, threading, torch
from genner import load
torch.set_num_threads(2)
ner = load({str(trained_model)!r})
texts = [{TEXT!r}] * 8
def answers(texts): return [[one.text for one in result] for result in ner(texts)]
def work(queue): queue.put(answers(texts))
alone = answers(texts)
context = multiprocessing.get_context("fork")
ner._lock.acquire()  # as if another thread were reading
queue = context.Queue()
process = context.Process(target=work, args=(queue,))
process.start()
print(queue.get(timeout=60) == alone, len(alone[0]) > 0)
process.join(60)
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["True", "True"]


def test_options_that_cannot_be_used(trained_model: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown option 'beams' \(did you mean 'num_beams'\?\)"):
        load(trained_model, beams=4)
    with pytest.raises(ConfigError, match=r"passage is 'page'. Expected one of sentence, document.\nmin_score is 2"):
        load(trained_model, passage="page", min_score=2)
    with pytest.raises(ConfigError, match=r"form: unknown form 'int4'"):
        load(trained_model, form="int4")


def test_a_run_folder_is_read_by_its_best_model(trained_run: Path, ner: Recogniser) -> None:
    assert found(load(trained_run)(TEXT)) == found(ner(TEXT))


def test_the_recipe_beside_a_model_is_not_read(trained_model: Path, tmp_path: Path, ner: Recogniser) -> None:
    shutil.copytree(trained_model, tmp_path / "model")
    (tmp_path / "model" / "recipe.yaml").write_text("not: [a recipe", encoding="utf-8")
    assert found(load(tmp_path / "model")(TEXT)) == found(ner(TEXT))


def test_folders_that_are_no_model(trained_model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match=r"nowhere: no such model folder. Expected the folder 'best'"):
        load(tmp_path / "nowhere")
    for name, told in {"model.json": "model.json is missing", "model.safetensors": "damaged model folder"}.items():
        copy = tmp_path / name
        shutil.copytree(trained_model, copy)
        (copy / name).unlink()
        with pytest.raises(DataFormatError, match=told):
            load(copy)
    newer = tmp_path / "newer"
    shutil.copytree(trained_model, newer)
    about = json.loads((newer / "model.json").read_text(encoding="utf-8"))
    (newer / "model.json").write_text(json.dumps(about | {"format": 99}), encoding="utf-8")
    with pytest.raises(DataFormatError, match=r"model format 99. Expected 3, .* of GenNER reads. Update"):
        load(newer)
    about["settings"]["search"]["num_beams"] = {"value": 1}
    (newer / "model.json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(DataFormatError, match=r"damaged model folder \(.*dict.*Copy the whole folder again"):
        load(newer)


@pytest.mark.parametrize("num_beams", [1, 2])
def test_answers_end_where_the_positions_of_the_backbone_do(num_beams: int) -> None:
    """A source that fills all positions, and a model that goes on writing for twice as long."""
    words = ["knee"] * 900
    backbone = load_backbone("scratch:tiny", corpus_words=[words], seed=1)
    labels = LabelSet.from_tags(["BODY"])
    model = PointerModel(backbone, labels.words, PointerConfig()).eval()
    task = PointerTask(model, labels, Target(), OpenSettings(max_len_ratio=3.0, constrained=True, num_beams=num_beams))
    codec = task.codec
    bounds = task._encode([words])[0].bounds
    every_word = [Entity("BODY", (Segment(word, word + 1),)) for word in range(len(words))]
    task.model = GuidedModel(model, [codec.encode(every_word, bounds).symbols])
    folder = ModelFolder(Path("none"), "pointer", "flat", labels)
    result = Recogniser(task, PredictOptions(window=1000), folder).predict_words([words])[0]
    assert result.error is None
    assert len(result) == (backbone.max_positions - 2) // 2
