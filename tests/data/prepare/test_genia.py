"""GENIA: XML with and without marked words, coordinated terms, both kinds of JSON lines."""

import json

import pytest

SENTENCE = (
    '<sentence><cons lex="Fjordin_gene" sem="G#DNA_domain_or_region"><cons lex="Fjordin" sem="G#protein_molecule">'
    "Fjordin</cons> gene</cons> in <cons sem='G#cell_type'>moss cells</cons> binds "
    '<cons lex="(AND ab_unit cd_unit)" sem="(AND G#protein_subunit G#protein_subunit)"><cons lex="ab*">ab</cons> and '
    '<cons lex="*cd_unit">cd unit</cons></cons> of <cons sem="G#virus">V1</cons>.</sentence>'
)
MARKED = (
    "<sentence><cons sem='G#RNA_molecule'><w c='NN'>R- inducible</w> <w c='NN'>mRNA</w></cons> <w c='VBZ'>rises</w>"
    "<w c='.'>.</w></sentence>"
)
EXPECTED = [("protein", "Fjordin"), ("DNA", "Fjordin gene"), ("cell_type", "moss cells")]


def article(name, *sentences):
    return (
        f"<article><articleinfo><bibliomisc>{name}</bibliomisc></articleinfo><title>{sentences[0]}</title>"
        f"<abstract>{''.join(sentences[1:])}</abstract></article>"
    )


def corpus(*articles):
    return '<?xml version="1.0"?>\n<!DOCTYPE set SYSTEM "gpml.dtd">\n<set>' + "".join(articles) + "</set>\n"


TEN = corpus(*(article(f"MEDLINE:{n}", SENTENCE, MARKED) for n in range(9)), article("MEDLINE:8", SENTENCE, MARKED))


def test_genia_split_by_sentences(write, prepare):
    made = prepare("genia", write({"GENIAcorpus3.02.xml": TEN}))
    assert made.code == 0, made.err
    assert sorted(path.name for path in made.folder.iterdir()) == ["prepare.json", "test.jsonlines", "train.jsonlines"]
    assert len(made.examples("train")) == 18 and len(made.examples("test")) == 2
    assert made.entities("test") == [EXPECTED, [("RNA", "R- inducible mRNA")]]
    assert made.examples("test")[1].words == ("R- inducible", "mRNA", "rises", ".")
    assert "30 x coordinated term or a part of one, left out (MEDLINE:0, sentence 1, " in made.out
    assert "10 x term of another type, left out" in made.out
    assert "1 x duplicate document, both kept, as in the published run (MEDLINE:8)" in made.out
    assert "dev: 1 sentences taken from train, one of 4; 17 stay." in made.out
    assert "genia: counts differ from the published copy: sentences dev 1, published dev 1,669" in made.out


def test_genia_split_by_documents(write, prepare):
    lists = "dev MEDLINE:1\ntest MEDLINE:8\ntrain MEDLINE:0\ntrain MEDLINE:2\n"
    raw = write({"g.xml": TEN, "s.txt": lists})
    made = prepare("genia", raw / "g.xml", "--splits", raw / "s.txt")
    assert [len(made.examples(split)) for split in ("train", "dev", "test")] == [4, 2, 2]
    assert "1 x duplicate document, the later one taken, as published (MEDLINE:8)" in made.out
    assert "5 x document that is in no split, left out" in made.out


ROW = {
    "doc_id": "a", "tokens": ["Fjordin", "gene"],
    "entity_mentions": [
        {"start": 0, "end": 2, "entity_type": "DNA"}, {"start": 0, "end": 1, "entity_type": "protein"},
        {"start": 0, "end": 2, "entity_type": "DNA"},
    ],
}  # fmt: skip
DOCUMENT = {"sentences": [["Fjordin", "gene"], ["Rain"]], "ners": [[[0, 1, "DNA"], [0, 0, "protein"]], []]}


@pytest.mark.parametrize(("row", "n_sentences"), [(ROW, 2), (DOCUMENT, 4)])
def test_json_lines(row, n_sentences, write, prepare):
    text = (json.dumps(row) + "\n") * 2
    made = prepare("genia", write({f"{split}.jsonlines": text for split in ("train", "dev", "test")}))
    assert made.code == 0, made.err
    assert made.entities("dev")[0] == [("protein", "Fjordin"), ("DNA", "Fjordin gene")]
    assert len(made.examples("dev")) == n_sentences
    assert ("6 x duplicate annotation, counted once" in made.out) == (row is ROW)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("g.xml", "<set><article>", "g.xml: cannot be read"),
        ("g.xml", "<set/>", "g.xml: no <article>. Expected the GENIA corpus"),
        ("g.xml", corpus(article("M:1", SENTENCE)), "1 sentences. Expected at least 10 to take a test split from"),
        ("train.jsonl", '{"tokens": ["a"]}', """'{"tokens": ["a"]}'. Expected an object with the lists"""),
        ("train.jsonl", '{"tokens": [', "train.jsonl:1: not JSON"),
        (
            "train.jsonl",
            json.dumps({"tokens": ["a"], "entity_mentions": [{"start": 0, "end": 2, "entity_type": "X"}]}),
            "in a sentence of 1 words. Expected start, end (exclusive) and entity_type",
        ),
    ],
)
def test_broken_genia(name, text, message, write, prepare):
    made = prepare("genia", write({name: text, "test.jsonl": json.dumps(ROW)}))
    assert made.code == 2 and message in made.err


def test_two_files_are_one_too_many(write, prepare):
    assert "a.xml, b.xml. Expected one GENIA file" in prepare("genia", write({"a.xml": TEN, "b.xml": TEN})).err
