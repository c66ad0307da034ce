"""ACE: offsets over text without tags, escaped characters, extents, document lists."""

import html
import re

import pytest

from genner.data.prepare.ace import read_ace_document
from genner.data.tally import Tally

BODY = "\nFjord &amp; Moss hired the head of Reed Labs &lt;at&gt; dusk. She came\nfrom Oslo.\n"
SGM = (
    "<DOC>\n<DOCID> D1 </DOCID>\n<BODY>\n<HEADLINE>\nNews of Oslo\n</HEADLINE>\n<TEXT>\n<TURN>\n"
    f"<SPEAKER> Ida Moss </SPEAKER>{BODY}</TURN>\n</TEXT>\n</BODY>\n</DOC>\n"
)
MENTIONS = [
    ("ORG", "Fjord &amp; Moss"), ("PER", "the head of Reed Labs"), ("ORG", "Reed Labs"), ("PER", "She"),
    ("GPE", "Oslo."), ("PER", "Ida Moss"),
]  # fmt: skip


def plain(sgm):
    """The text that offsets count: no tags, escapes as they are written."""
    return re.sub(r"<[^<>]*>", "", sgm)


def apf(text, mentions, name="D1"):
    rows = []
    for number, (label, surface) in enumerate(mentions, 1):
        start = text.rindex(surface)
        end = start + len(surface) - 1
        rows.append(
            f'<entity ID="E{number}" TYPE="{label}"><entity_mention ID="E{number}-1" TYPE="NAM"><extent>'
            f'<charseq START="{start}" END="{end}">{surface}</charseq></extent><head><charseq START="{start}" '
            f'END="{start}">x</charseq></head></entity_mention></entity>'
        )
    return (
        '<?xml version="1.0"?>\n<!DOCTYPE source_file SYSTEM "apf.v5.1.1.dtd">\n'
        f'<source_file><document DOCID="{name}">{"".join(rows)}<timex2 ID="T1"/></document></source_file>\n'
    )


def corpus(stages=("timex2norm",), **more):
    files = {"lists.txt": "train bn/adj/D1\ndev bn/adj/D2.sgm\ntest D3\n"}
    for name in ("D1", "D2", "D3"):
        for stage in stages:
            files[f"data/English/bn/{stage}/{name}.sgm"] = SGM
            files[f"data/English/bn/{stage}/{name}.apf.xml"] = apf(plain(SGM), MENTIONS, name)
    return files | more


@pytest.mark.parametrize("name", ["en_ace04", "en_ace05"])
def test_ace(name, write, prepare):
    raw = write(corpus())
    made = prepare(name, raw, "--splits", raw / "lists.txt")
    assert made.code == 0, made.err
    assert made.entities("train") == [
        [("PER", "Ida Moss")],
        [("ORG", "Fjord & Moss"), ("PER", "the head of Reed Labs"), ("ORG", "Reed Labs")],
        [("PER", "She"), ("GPE", "Oslo .")],
    ]
    assert [len(x.words) for x in made.examples("dev")] == [2, 14, 5]
    assert "counted while preparing:\n  nothing" in made.out


@pytest.mark.parametrize(
    ("sgm", "text"),
    [
        (SGM, plain(SGM)),
        (SGM, html.unescape(plain(SGM))),  # offsets that count the escape as one character
        (SGM.replace("\n", "\r\n"), plain(SGM)),  # offsets that count a line end as one
        (SGM.replace("\n", "\r\n"), plain(SGM).replace("\n", "\r\n")),
    ],
    ids=["escapes as written", "escapes as one", "crlf as one", "crlf as two"],
)
def test_every_way_of_counting_offsets_is_found(sgm, text, write):
    as_counted = "&amp;" if "&amp;" in text else "&"
    surfaces = [(label, surface.replace("&amp;", as_counted)) for label, surface in MENTIONS]
    annotation = apf(text, surfaces).replace(">Fjord & ", ">Fjord &amp; ")
    raw = write({"D1.sgm": sgm, "D1.apf.xml": annotation})
    tally = Tally()
    found, _, mentions = read_ace_document(raw / "D1.apf.xml", tally)
    assert not tally.counts
    assert "".join(found[slice(*mentions[0].fragments[0])].split()) == "Fjord&Moss"


def test_stages_headlines_and_wrong_texts_are_counted(write, prepare):
    wrong = apf(plain(SGM), [*MENTIONS, ("GPE", "Oslo\n</HEAD"[:5])]).replace(">She<", ">He<")
    raw = write(corpus(("adj", "timex2norm")) | {"data/English/bn/timex2norm/D1.apf.xml": wrong})
    extra = raw / "data/English/bn/timex2norm/D9.apf.xml"
    extra.write_text(apf(plain(SGM), MENTIONS, "D9"))
    made = prepare("en_ace05", raw, "--splits", raw / "lists.txt")
    assert made.code == 0, made.err
    assert "3 x document in several stages of annotation, timex2norm taken (D1, D2, D3)" in made.out
    assert "1 x annotation whose text is not that at its offsets, offsets taken (D1.apf.xml:E4-1)" in made.out
    assert "1 x annotation outside of <TEXT> (headline, date, slug), left out (D1.apf.xml:E7-1)" in made.out
    assert "1 x document that is in no split, left out (D9)" in made.out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lists.txt": None}, "ACE: no lists of documents. Expected --splits"),
        ({"lists.txt": "train D1\ndev D2\ntest D3\ntest D4\n"}, "1 of 4 listed documents are not there: D4"),
        ({"data/English/bn/timex2norm/D2.sgm": None}, "D2.sgm: cannot be read"),
        ({"data/English/bn/timex2norm/D2.apf.xml": "<source_file><entity>"}, "D2.apf.xml: cannot be read"),
        (
            {"data/English/bn/timex2norm/D3.apf.xml": apf("x", [("PER", "x")]).replace('START="0"', 'START=""')},
            "D3.apf.xml: mention E1-1 has type 'PER' and extent ''..'0'. Expected a TYPE and an <extent>",
        ),
    ],
)
def test_broken_ace(change, message, write, prepare):
    raw = write({name: text for name, text in corpus(**change).items() if text is not None})
    options = ["--splits", raw / "lists.txt"] if (raw / "lists.txt").exists() else []
    made = prepare("en_ace05", raw, *options)
    assert made.code == 2 and message in made.err
    assert not made.folder.exists()


def test_a_folder_without_annotations(write, prepare):
    raw = write({"lists.txt": "train D1\n"})
    assert "no *.apf.xml file below it" in prepare("en_ace04", raw, "--splits", raw / "lists.txt").err
