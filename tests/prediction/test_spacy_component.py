"""The spaCy component: the recogniser's answers in documents, kept by spaCy's own files, regrouped to entities."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span

from genner import load
from genner.data.schema import Entity, Segment
from genner.errors import ConfigError, DataFormatError
from genner.prediction.recogniser import Recogniser
from genner.prediction.results import TextEntity, TextInput, TextResult, place_entity
from genner.prediction.spacy_component import GennerComponent, entities_of

ROOT = Path(__file__).parents[2]
TEXT = (
    "I woke up with pain in the left knee\n and shoulder. On Monday, Otto Tondwright bought a farm near Lake Borbury."
)


@pytest.fixture(scope="module")
def nlp(trained_model: Path) -> Language:
    pipeline = spacy.blank("en")
    pipeline.add_pipe("genner", config={"model": str(trained_model)})
    return pipeline


@pytest.fixture(scope="module")
def ner(trained_model: Path) -> Recogniser:
    return load(trained_model)


class Answering:
    """A recogniser that answers with given entities on words, or refuses texts that hold ``broken``."""

    labels = ("A", "B")

    def __init__(self, *entities: tuple[Entity, float]) -> None:
        self.entities = entities
        self.inputs: list[TextInput] = []

    def stream(self, inputs: list[TextInput]) -> list[TextResult]:
        self.inputs += inputs
        return [self.answer(one) for one in inputs]

    def answer(self, one: TextInput) -> TextResult:
        if "broken" in one.text:
            return TextResult(one.text, error="text 0: broken. Expected none.")
        placed = tuple(place_entity(entity, one.text, one.words, score) for entity, score in self.entities)
        return TextResult(one.text, words=one.words, sentences=one.sentences, entities=placed)


def component(*entities: tuple[Entity, float], ents: str = "flat") -> GennerComponent:
    made = GennerComponent("genner", model="-", language="en", spans_key="genner", ents=ents, options={})
    made._ner = Answering(*entities)
    return made


def places(entities: list[TextEntity]) -> list[tuple]:
    return [
        (one.type, one.text, [part[1:3] for part in one.segments], pytest.approx(one.score, abs=1e-5))
        for one in entities
    ]


def test_documents_get_the_answers_of_the_recogniser(nlp: Language, ner: Recogniser) -> None:
    result = ner(TEXT)
    assert len(result) > 1
    assert places(entities_of(nlp(TEXT))) == places(list(result))


def test_many_documents_and_one_give_the_same(nlp: Language) -> None:
    texts = [TEXT, "", " \n ", "Nothing here.", TEXT[10:], TEXT[50:]] * 3
    together = list(nlp.pipe(texts, batch_size=4))
    assert [doc.text for doc in together] == texts
    assert [places(entities_of(doc)) for doc in together] == [places(entities_of(nlp(text))) for text in texts]


def test_parts_share_an_id_and_spancat_s_scores_stand_beside_them() -> None:
    pain = Entity("A", (Segment(0, 1), Segment(3, 4)))
    doc = component((pain, 0.75), (Entity("B", (Segment(0, 4),)), 0.5))(spacy.blank("en")("pain in \n the knee"))
    group = doc.spans["genner"]
    assert [(span.text, span.label_, span.id_) for span in group] == [
        ("pain", "A", "1"),
        ("knee", "A", "1"),
        ("pain in \n the knee", "B", "2"),
    ]
    assert group.attrs["scores"].tolist() == [0.75, 0.75, 0.5]


@pytest.mark.parametrize(
    ("ents", "flat", "nested", "interrupted"),
    [
        ("flat", ["a b", "d"], [], []),
        ("longest", ["a b", "d"], ["a b c"], ["b"]),
        ("none", [], [], []),
    ],
)
def test_ents(ents: str, flat: list[str], nested: list[str], interrupted: list[str]) -> None:
    text = spacy.blank("en")

    def found(*entities: tuple[Entity, float]) -> list[str]:
        doc = component(*entities, ents=ents)(text("a b c d"))
        assert len(doc.spans["genner"]) == sum(len(entity.segments) for entity, _ in entities)
        return [span.text for span in doc.ents]

    first, last, whole = (Entity("A", (Segment(*pair),)) for pair in ((0, 2), (3, 4), (0, 3)))
    assert found((first, 0.5), (last, 0.5)) == flat
    assert found((whole, 0.5), (first, 0.9)) == nested
    assert (
        found((Entity("A", (Segment(0, 1), Segment(2, 3))), 0.5), (Entity("B", (Segment(1, 2),)), 0.5)) == interrupted
    )


def test_of_equal_spans_ents_get_the_surer() -> None:
    one, other = Entity("A", (Segment(0, 1),)), Entity("B", (Segment(0, 1),))
    doc = component((one, 0.2), (other, 0.8), ents="longest")(spacy.blank("en")("a b"))
    assert [span.label_ for span in doc.ents] == ["B"]


def test_words_and_sentences_are_those_of_the_document() -> None:
    vocab = spacy.blank("en").vocab
    made = component()
    made(Doc(vocab, ["Sore", "knees", ".", "\n", "Now", "gone"], sent_starts=[True, False, False, False, False, True]))
    made(Doc(vocab, ["Sore", "knees", ".", "\n", "Now", "gone"]))
    made(Doc(vocab, []))
    made(Doc(vocab, ["  "]))
    given, guessed, empty, blank = made._ner.inputs
    assert [given.text[start:end] for start, end in given.words] == ["Sore", "knees", ".", "Now", "gone"]
    assert given.sentences == (Segment(0, 4), Segment(4, 5)), "a sentence may begin anywhere if the document says so"
    assert guessed.sentences == (Segment(0, 3), Segment(3, 5))
    assert empty.words == empty.sentences == blank.words == blank.sentences == ()


def test_a_pipeline_on_disk_loads_the_model_again(nlp: Language, tmp_path: Path) -> None:
    nlp.to_disk(tmp_path / "pipeline")
    again = spacy.load(tmp_path / "pipeline")
    assert places(entities_of(again(TEXT))) == places(entities_of(nlp(TEXT)))


def test_documents_are_kept_by_spacy_s_own_files(nlp: Language, tmp_path: Path) -> None:
    doc = nlp(TEXT)
    DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / "docs.spacy")
    (again,) = DocBin().from_disk(tmp_path / "docs.spacy").get_docs(spacy.blank("en").vocab)
    assert places(entities_of(again)) == places(entities_of(doc)) != []


def test_options_key_and_labels(trained_model: Path) -> None:
    pipeline = spacy.blank("en")
    config = {"model": str(trained_model), "spans_key": "found", "options": {"min_score": 0.999999, "num_beams": 2}}
    made = pipeline.add_pipe("genner", name="symptoms", config=config)
    doc = pipeline(TEXT)
    assert "found" in doc.spans and "genner" not in doc.spans
    assert made.ner.choices == {"num_beams": 2}
    assert all(score >= 0.9999 for score in doc.spans["found"].attrs["scores"])
    assert made.labels == made.ner.labels == load(trained_model).labels


def test_another_process_loads_the_model_for_itself(nlp: Language) -> None:
    """What several processes of a pipeline are given."""
    made = nlp.get_pipe("genner")
    nlp(TEXT)
    again = pickle.loads(pickle.dumps(made))
    assert again._ner is None and again.model == made.model
    assert places(entities_of(again(spacy.blank("en")(TEXT)))) == places(entities_of(nlp(TEXT)))


def test_a_document_that_cannot_be_read() -> None:
    text = spacy.blank("en")
    made = component((Entity("A", (Segment(0, 1),)), 0.5))
    docs = [text("fine"), text("broken"), text("fine too")]
    with pytest.raises(DataFormatError, match=r"text 0: broken\."):
        list(made.pipe(docs))
    failed: list[str] = []
    made.set_error_handler(lambda name, _, docs, error: failed.append(f"{name}: {docs[0].text}: {error}"))
    assert [doc.text for doc in made.pipe(docs)] == ["fine", "fine too"]
    assert failed == ["genner: broken: text 0: broken. Expected none."]


def test_messages(tmp_path: Path) -> None:
    pipeline = spacy.blank("en")
    with pytest.raises(ConfigError, match=r"genner: no model\. Expected a model folder or a hub id\. Set config="):
        pipeline.add_pipe("genner")
    with pytest.raises(ConfigError, match=r"genner: ents is 'all'\. Expected one of flat, longest, none\."):
        pipeline.add_pipe("genner", config={"model": "x", "ents": "all"})
    pipeline.add_pipe("genner", config={"model": str(tmp_path / "nowhere")})
    with pytest.raises(DataFormatError, match="nowhere: no such model folder"):
        pipeline("text")


def test_importing_it_loads_no_model() -> None:
    code = (
        "import sys, genner.prediction.spacy_component; "
        "print(*{'transformers', 'genner.prediction.recogniser'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_an_installed_package_is_known_to_spacy(nlp: Language, trained_model: Path, tmp_path: Path) -> None:
    """No import of ours comes before ``add_pipe`` or ``spacy.load``."""
    if not entry_points(group="spacy_factories", name="genner"):
        pytest.skip("genner is not installed, so spaCy cannot find its component; make test installs it")
    nlp.to_disk(tmp_path / "pipeline")
    code = (
        f"import spacy; nlp = spacy.blank('en'); nlp.add_pipe('genner', config={{'model': {str(trained_model)!r}}})\n"
        f"for one in (nlp, spacy.load({str(tmp_path / 'pipeline')!r})): print(len(one({TEXT!r}).spans['genner']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(nlp(TEXT).spans["genner"]))] * 2 != ["0", "0"]


def flat_pain() -> GennerComponent:
    return component((Entity("A", (Segment(0, 1), Segment(3, 4))), 0.75), ents="longest")


def test_documents_that_were_joined_keep_entities_apart() -> None:
    """Both documents have an entity 1, and spaCy drops what stands beside spans."""
    nlp = spacy.blank("en")
    docs = [flat_pain()(nlp(text)) for text in ("pain in the knee", "ache of the back")]
    joined = Doc.from_docs(docs)
    assert "scores" not in joined.spans["genner"].attrs
    assert places(entities_of(joined)) == [
        ("A", "pain knee", [(0, 4), (12, 16)], 0.75),
        ("A", "ache back", [(17, 21), (29, 33)], 0.75),
    ]


def test_documents_that_were_stored_and_pickled_keep_their_entities() -> None:
    nlp = spacy.blank("en")
    doc = flat_pain()(nlp("pain in the knee"))
    stored = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    bare = Doc(nlp.vocab).from_bytes(doc.to_bytes(exclude=["user_data"]))
    for again in (stored, bare, pickle.loads(pickle.dumps(doc)), doc.copy()):
        assert places(entities_of(again)) == places(entities_of(doc)) != []


def test_entities_of_a_part_of_a_document() -> None:
    nlp = spacy.blank("en")
    doc = component((Entity("A", (Segment(0, 2),)), 0.5), (Entity("B", (Segment(3, 4),)), 0.25))(nlp("a b c d e"))
    assert places(entities_of(doc[2:5])) == [("B", "d", [(6, 7)], 0.25)]
    assert places(entities_of(doc[1:])) == [("B", "d", [(6, 7)], 0.25)]
    with pytest.raises(ConfigError, match=r"doc\.spans: no 'genner', only none\..*Call entities_of\(part\)"):
        entities_of(doc[2:5].as_doc())
    del doc.spans["genner"].attrs["scores"]
    doc.user_data.clear()
    with pytest.raises(ConfigError, match=r"doc\.spans\['genner'\]: no score of 'a b'"):
        entities_of(doc)


def test_a_document_that_is_read_again_has_the_last_answer() -> None:
    nlp = spacy.blank("en")
    doc = component((Entity("A", (Segment(0, 2),)), 0.5))(nlp("a b c"))
    doc = component((Entity("B", (Segment(2, 3),)), 0.25))(doc)
    assert places(entities_of(doc)) == [("B", "c", [(4, 5)], 0.25)]
    assert sum(map(bool, doc.user_data.values())) == 1


@pytest.mark.parametrize("ents", ["flat", "longest", "none"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_entities_of_earlier_components(ents: str, overwrite: bool) -> None:
    nlp = spacy.blank("en")
    doc = nlp("a b c d e f")
    doc.set_ents([Span(doc, 1, 2, label="OLD", kb_id="Q1"), Span(doc, 5, 6, label="OLD")], blocked=[doc[3:4]])
    found = [
        (Entity("A", (Segment(0, 2),)), 0.5),
        (Entity("A", (Segment(2, 3),)), 0.5),
        (Entity("A", (Segment(3, 4),)), 0.5),
    ]
    made = component(*found, ents=ents)
    made.overwrite_ents = overwrite
    made(doc)
    new = {("none", False): [], ("none", True): []}.get((ents, overwrite), ["a b", "c", "d"] if overwrite else ["c"])
    old = ["f"] if new and overwrite else ["b", "f"]
    assert [span.text for span in doc.ents if span.label_ == "A"] == new
    assert [span.text for span in doc.ents if span.label_ == "OLD"] == old
    if "b" in old:
        assert doc.ents[0].kb_id_ == "Q1" or doc.ents[1].kb_id_ == "Q1"
        assert doc[3].ent_iob_ == "B" and not doc[3].ent_type_, "still closed to entities"
    assert len(doc.spans["genner"]) == 3


def test_entities_of_a_document_that_is_not_flat_leave_earlier_ones_alone() -> None:
    nlp = spacy.blank("en")
    doc = nlp("a b c d")
    doc.ents = [Span(doc, 3, 4, label="OLD")]
    component((Entity("A", (Segment(0, 2),)), 0.5), (Entity("A", (Segment(1, 2),)), 0.5))(doc)
    assert [span.text for span in doc.ents] == ["d"]


def test_two_components_stand_side_by_side(trained_model: Path) -> None:
    pipeline = spacy.blank("en")
    pipeline.add_pipe("genner", config={"model": str(trained_model)})
    pipeline.add_pipe("genner", name="sure", config={"model": str(trained_model), "options": {"min_score": 0.9}})
    doc = pipeline(TEXT)
    assert {"genner", "sure"} <= set(doc.spans)
    assert places(entities_of(doc, "sure")) == [one for one in places(entities_of(doc)) if one[3].expected >= 0.9]
    with pytest.raises(ConfigError, match=r"third: spans_key 'sure' is that of the component 'sure'.*Set config="):
        pipeline.add_pipe("genner", name="third", config={"model": str(trained_model), "spans_key": "sure"})


def test_processes_that_are_forked_after_the_model_was_used_with_threads(trained_model: Path) -> None:
    """In a process of its own, with the threads that this one must not have."""
    code = (
        "import spacy, torch, genner.prediction.spacy_component as c\n"
        "torch.set_num_threads(2)\n"
        f"nlp = spacy.blank('en'); nlp.add_pipe('genner', config={{'model': {str(trained_model)!r}}})\n"
        f"texts = [{TEXT!r}] * 40\n"
        "alone = [[e.text for e in c.entities_of(doc)] for doc in nlp.pipe(texts)]\n"
        "many = [[e.text for e in c.entities_of(doc)] for doc in nlp.pipe(texts, n_process=2, batch_size=10)]\n"
        "print(alone == many, len(alone[0]) > 0)\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.split() == ["True", "True"]
