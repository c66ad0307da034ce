"""Valid inputs of every kind, of our own: what the fuzzer damages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.fuzzing.mutations import Files

__all__ = ["Sample", "corpora", "requests", "settings", "sources", "texts"]


@dataclass(frozen=True)
class Sample:
    """A valid input.

    Attributes:
        kind: what reads it: a loader, a reader, a source of ``genner prepare`` ...
        files: its content; for a request, its head and body.
    """

    kind: str
    files: Files


_COLUMNS = """\
-DOCSTART- -X- O

Mira NNP B-PER
Tolvanen NNP I-PER
sold VBD O
Quillmoor NNP B-ORG
. . O

Rain NN O
fell VBD O
"""
_BIOES = "Mira\tB-PER\nTolvanen\tE-PER\nsaw\tO\nOstvik\tS-LOC\n\nRain\tO\nfell\tO\n"
_COMMENTED = "# id 1 domain=en\nMira _ _ B-PER\nleft _ _ O\n\n# id 2\nOstvik _ _ B-LOC\nslept _ _ O\n"
_CSV = 'sentence,word,tag\n1,Mira,B-PER\n1,"said, then",O\n2,Ostvik,B-LOC\n2,"a ""b""",O\n'
_NESTED = """\
{"ners": [[[0, 2, "ORG"], [2, 2, "LOC"]], []], "sentences": [["Harbour", "Office", "Ostvik"], ["Rain", "fell", "."]]}
{"ners": [[[1, 3, "DNA"], [1, 1, "protein"]]], "sentences": [["the", "ZQ7", "gene", "promoter"]], "doc_key": "b"}
"""
_THREE_LINES = """\
sore left and right knees since Monday
0,1,4,4 ADR|0,0,3,4 ADR|6,6 Time

No trouble at all .


a dull | sharp ache
1,1,4,4 ADR
"""
_ONTONOTES = """\
#begin document (xx/mill/00/mill_0000); part 000
xx/mill/00/mill_0000   0   0   Mira   NNP   (TOP*   -   -   -   Speaker_A   (PERSON*   -
xx/mill/00/mill_0000   0   1   Tolvanen   NNP   (TOP*   -   -   -   Speaker_A   *)   -
xx/mill/00/mill_0000   0   2   /.   .   (TOP*   -   -   -   Speaker_A   *   -

xx/mill/00/mill_0000   0   0   9   CD   (TOP*   -   -   -   Speaker_A   (CARDINAL)   -

#end document
"""
_TEXT = "Orla Vex of Tellmark has a stiff 👍 neck.\nNo fever since Monday."
_LINES = [
    {"text": _TEXT, "id": "a", "entities": [{"type": "PER", "segments": [{"start": 0, "end": 8}]}]},
    {"words": ["stiff", "neck"], "id": 2, "entities": []},
    {"text": "Rain fell."},
]
_ANN = (
    "T1\tPER 0 8\tOrla Vex\nT2\tLOC 12 20\tTellmark\nT3\tADR 27 32;35 39\tstiff neck\n"
    "R1\tlives Arg1:T1 Arg2:T2\n#1\tAnnotatorNotes T1\ta note\n"
)
_W2NER = [
    {"sentence": ["stiff", "left", "knee"], "ner": [{"index": [0, 2], "type": "ADR"}]},
    {"sentence": ["a"], "ner": []},
]
_SPANS = [{"start": 0, "end": 8, "label": "PER"}, {"start": 12, "end": 20, "label": "LOC"}]
_FOREIGN = {
    "w2ner.json": _W2NER,
    "gliner.json": [{"tokenized_text": ["Orla", "slept"], "ner": [[0, 0, "PER"]]}],
    "label_studio.json": [
        {
            "id": 7,
            "data": {"text": _TEXT},
            "annotations": [
                {
                    "result": [
                        {
                            "from_name": "label", "to_name": "text", "type": "labels",
                            "value": {"start": 0, "end": 8, "text": "Orla Vex", "labels": ["PER"]},
                        }
                    ]
                }
            ],
        }
    ],
    "records.json": _LINES,
}  # fmt: skip
_FOREIGN_LINES = {
    "doccano.jsonl": [{"id": 1, "text": _TEXT, "label": [[0, 8, "PER"], [12, 20, "LOC"]]}],
    "prodigy.jsonl": [
        {
            "text": "Orla slept", "answer": "accept", "spans": [{"start": 0, "end": 4, "label": "PER"}],
            "tokens": [{"text": "Orla", "start": 0, "end": 4, "id": 0}, {"text": "slept", "start": 5, "end": 10}],
        },
        {"text": "Rain", "answer": "reject", "spans": []},
    ],
    "dygie.jsonl": [
        {"doc_key": "a", "sentences": [["Orla", "slept"], ["Rain"]], "ner": [[[0, 0, "PER"]], [[2, 2, "X"]]]},
    ],
}  # fmt: skip


def corpora() -> Iterator[Sample]:
    """Training files, by loader: train, dev and test in one folder."""
    for kind, name, text in (
        ("conll", "txt", _COLUMNS), ("conll", "conll", _BIOES), ("conll", "txt", _COMMENTED), ("conll", "csv", _CSV),
        ("nested", "jsonlines", _NESTED), ("discontinuous", "txt", _THREE_LINES), ("ontonotes", "txt", _ONTONOTES),
    ):  # fmt: skip
        yield _three(kind, name, text)
    for name, content in _FOREIGN.items():
        for kind in ("json", "nested", "discontinuous"):
            yield _three(kind, name.rsplit(".")[1], json.dumps(content, ensure_ascii=False))
    for name, lines in _FOREIGN_LINES.items():
        for kind in ("json", "nested", "discontinuous"):
            yield _three(kind, name.rsplit(".")[1], _lines(lines))


def texts() -> Iterator[Sample]:
    """Texts to read, by format, also as a folder of several; ``auto`` goes by the ending."""
    for kind, name, text in (
        ("lines", "a.txt", _TEXT), ("text", "a.txt", _TEXT), ("jsonl", "a.jsonl", _lines(_LINES)),
        ("conll", "a.conll", _COLUMNS), ("conll", "b.conll", _BIOES), ("conll", "words.conll", "Orla\nslept\n"),
        ("nested", "a.jsonlines", _NESTED), ("discontinuous", "a.txt", _THREE_LINES), ("auto", "a.csv", _CSV),
        ("auto", "a.xml", "<doc><p>Orla slept.</p></doc>"), ("auto", "a.tsv", _COMMENTED),
    ):  # fmt: skip
        yield Sample(kind, {name: text.encode()})
    yield Sample("brat", {"a.txt": _TEXT.encode(), "a.ann": _ANN.encode(), "deep/b.txt": b"Rain fell."})
    yield Sample("csv", {"a.csv": b'id,text,note\n1,"Orla slept, then",x\n2,"a ""word""\nin two lines",\n'})
    yield Sample("csv", {"a.tsv": b"text\tid\nOrla slept.\t1\n"})
    yield Sample("docbin", {"a.spacy": _docbin()})
    for name, content in _FOREIGN.items():
        yield Sample("auto", {name: json.dumps(content, ensure_ascii=False, indent=1).encode()})
    for name, lines in _FOREIGN_LINES.items():
        yield Sample("auto", {name: _lines(lines).encode()})
    yield Sample("auto", {"a.txt": _TEXT.encode(), "b.jsonl": _lines(_LINES).encode(), "c/d.conll": _COLUMNS.encode()})


def sources() -> Iterator[Sample]:
    """Originals for ``genner prepare``, by source; ``hf`` by the options that it is given."""
    brat = {f"{split}/{name}": content for split in ("train", "dev", "test") for name, content in _BRAT.items()}
    yield Sample("brat", brat)
    yield Sample("brat", {f"{number}{name[1:]}": content for number in range(9) for name, content in _BRAT.items()})
    row = {"text": _TEXT, "spans": _SPANS}
    yield Sample("hf --text text --spans spans", _dataset([row, {"text": "Rain", "spans": []}]))
    tagged = {"tokens": ["Orla", "slept"], "tags": ["B-PER", "O"]}
    yield Sample("hf --words tokens --tags tags", _dataset([tagged]))
    yield Sample(
        "hf --words tokens --spans spans", _dataset([tagged | {"spans": [{"start": 0, "end": 1, "label": "PER"}]}])
    )


def settings() -> Iterator[Sample]:
    """Recipes and sweeps."""
    yield Sample("recipe", {"mine.yaml": _RECIPE.encode(), "overrides": b"optim.lr=2e-5\nlabels.PER=person\nseed=3"})
    yield Sample("recipe", {"mine.yaml": _RECIPE.encode(), "overrides": b"pointer.num_beams=4\ntraining.track=[wandb]"})
    yield Sample("sweep", {"sweep.yaml": _SWEEP.encode()})
    yield Sample(
        "sweep", {"sweep.json": json.dumps({"base": {"dataset_name": "demo"}, "list": [{"optim.lr": 1}]}).encode()}
    )


def requests() -> Iterator[Sample]:
    """HTTP requests: method, path and headers, and the body."""
    for body in (
        {"text": _TEXT}, {"texts": [_TEXT, "", "Rain."], "min_score": 0.2}, {"words": [["Orla", "slept"], []]},
        {"text": "Orla", "min_score": 1},
    ):  # fmt: skip
        yield _request("POST", "/predict", json.dumps(body))
    for method, path in (("GET", "/health"), ("GET", "/metrics"), ("HEAD", "/health"), ("GET", "/openapi.json")):
        yield _request(method, path, "")


def _request(method: str, path: str, body: str) -> Sample:
    headers = {"host": "localhost", "content-type": "application/json", "content-length": str(len(body.encode()))}
    head = {"method": method, "path": path, "query": "", "headers": headers, "parts": 1}
    return Sample("request", {"head": json.dumps(head).encode(), "body": body.encode()})


def _docbin() -> bytes:
    """A text with an entity as spaCy stores it."""
    from spacy.tokens import Doc, DocBin, Span
    from spacy.vocab import Vocab

    doc = Doc(Vocab(), ["Orla", "Vex", "slept", "."], sent_starts=[True, False, False, False])
    doc.set_ents([Span(doc, 0, 2, "PER")])
    return DocBin(docs=[doc]).to_bytes()


def _three(kind: str, ending: str, text: str) -> Sample:
    return Sample(kind, {f"{split}.{ending}": text.encode() for split in ("train", "dev", "test")})


def _dataset(rows: list) -> Files:
    return {f"{split}.jsonl": _lines(rows * 2).encode() for split in ("train", "validation", "test")}


def _lines(values: list) -> str:
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


_BRAT = {"a.txt": _TEXT.encode(), "a.ann": _ANN.encode()}
_RECIPE = """\
dataset: mine
kind: nested
backbone: scratch:tiny
labels: {NO: number, LOC: place, "PER.NAM": person}
data: {max_words: 80, on_too_long: split}
optim: {lr: 3.0e-5, warmup_ratio: 0.1}
training:
  epochs: 3
  collapse_below: 5
batching: {by: pieces, size: 400}
seeds: [1, 2]
pointer: {unit: span_bpe, num_beams: 2}
reported: {f1: [85.39, 84.54], source: "three runs"}
"""
_SWEEP = """\
name: rates
base:
  dataset_name: demo
  seeds: [1, 2]
  training: {epochs: 2}
grid:
  optim.lr: [1e-3, 2e-3]
  batching.size: [8, 16]
list:
- {optim.lr: 1e-4, pointer.num_beams: 4}
"""
