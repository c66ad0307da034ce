"""Tags of every scheme: entities written in a scheme come back; any tags are read as their definition says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genner.data.schema import Entity, Segment
from genner.data.schemes import LOOSE_TAG, SCHEMES, TagError, TagReader, is_tag
from genner.data.tally import Tally

LABELS = st.sampled_from(["PER", "LOC", "a-b"])
# Runs of words: a label or None, and how many words.
SENTENCES = st.lists(st.tuples(st.one_of(st.none(), LABELS), st.integers(1, 4)), min_size=1, max_size=8)
SIGNS = {"bioes": "BIES", "bmes": "BMES", "bmewo": "BMEW", "bilou": "BILU"}  # begin, inside, end, single


def read(tags, scheme="auto"):
    reader, tally = TagReader(scheme), Tally()
    entities = reader.entities(tags, str)
    reader.report(tally)
    return [(entity.label, *entity.flat) for entity in entities], tally.counts


def written(sentence, scheme):
    """The entities of a sentence and its tags in a scheme, by the definitions of the schemes."""
    entities, tags, start = [], [], 0
    for number, (label, size) in enumerate(sentence):
        if label is None:
            tags += ["O"] * size
        else:
            entities.append((label, start, start + size))
            touches_left = number > 0 and sentence[number - 1][0] == label
            touches_right = number + 1 < len(sentence) and sentence[number + 1][0] == label
            signs = ["I"] * size
            if scheme in ("bio", "iob2") or (scheme == "iob1" and touches_left):
                signs[0] = "B"
            if scheme == "ioe2" or (scheme == "ioe1" and touches_right):
                signs[-1] = "E"
            if scheme in SIGNS:
                begin, inside, end, single = SIGNS[scheme]
                signs = [single] if size == 1 else [begin, *[inside] * (size - 2), end]
            tags += [f"{sign}-{label}" for sign in signs]
        start += size
    return entities, tags


def brute_force(tags):
    """Whether a word starts an entity, decided for every word from its tag and the one before, as conlleval does."""
    role = {"M": "I", "L": "E", "U": "S", "W": "S"}
    pairs = [("O", "") if tag == "O" else (role.get(tag[0], tag[0]), tag[2:]) for tag in tags]
    found = []
    for index, (sign, label) in enumerate(pairs):
        before = pairs[index - 1] if index else ("O", "")
        if sign == "O":
            continue
        starts = sign in "BS" or before[0] in "OES" or before[1] != label
        if starts:
            found.append([label, index, index + 1])
        else:
            found[-1][2] = index + 1
    return [tuple(entity) for entity in found]


@pytest.mark.parametrize("scheme", ["bio", "iob1", "ioe1", "ioe2", *SIGNS])
@given(sentence=SENTENCES)
def test_what_a_scheme_writes_is_read_back(scheme, sentence):
    entities, tags = written(sentence, scheme)
    for forced in ("auto", scheme):
        found, counts = read(tags, forced)
        assert found == entities
        assert LOOSE_TAG not in counts
        assert not any("does not allow" in reason for reason in counts)


@given(tags=st.lists(st.sampled_from(["O", *(f"{sign}-{label}" for sign in "BIESMLUW" for label in "XY")]), max_size=9))
def test_any_tags_are_read_as_the_definition_says_and_no_word_is_lost(tags):
    found, _ = read(tags)
    assert found == brute_force(tags)
    covered = {index for _, start, end in found for index in range(start, end)}
    assert covered == {index for index, tag in enumerate(tags) if tag != "O"}


@pytest.mark.parametrize(
    ("tags", "name", "n_entities"),
    [
        ("I-X I-X B-X O I-Y", "the scheme IOB1", 3),
        ("I-X E-X O E-Y", "the scheme IOE2", 2),
        ("I-X E-X I-X O I-Y", "the scheme IOE1", 3),
        ("B-X E-X S-Y", "the scheme BIOES", 2),
        ("B-X M-X E-X S-Y", "the scheme BMES", 2),
        ("B-X M-X E-X W-Y", "the scheme BMEWO", 2),
        ("B-X L-X U-Y", "the scheme BILOU", 2),
        ("B-X L-X E-Y", "a mixture of schemes (B, E, L)", 2),
    ],
)
def test_the_scheme_is_known_from_all_tags_and_told(tags, name, n_entities):
    _, counts = read(tags.split())
    assert counts[f"entity tagged in {name}"] == n_entities


def test_bio_needs_no_word_and_its_slips_are_counted():
    assert read(["B-X", "I-X", "O", "B-Y"])[1] == {}
    assert read(["B-X", "I-Y", "O", "I-X", "O", "B-X"])[1] == {LOOSE_TAG: 2}


def test_slips_in_other_schemes_are_counted():
    found, counts = read(["B-X", "O", "S-Y", "E-X"])
    assert found == [("X", 0, 1), ("Y", 2, 3), ("X", 3, 4)]
    assert counts["entity whose tags the scheme BIOES does not allow, read all the same"] == 2


def test_a_scheme_is_known_over_several_sentences():
    reader, tally = TagReader(), Tally()
    first = reader.entities(["I-X", "I-X"], lambda word: f"1.{word}")
    second = reader.entities(["I-X", "B-X"], lambda word: f"2.{word}")
    assert [entity.flat for entity in first + second] == [[0, 2], [0, 1], [1, 2]]
    reader.report(tally)
    assert tally.lines() == ["3 x entity tagged in the scheme IOB1 (1.0, 2.0, 2.1)"]


def test_lower_case_and_underscores():
    found, counts = read(["b-per", "i-per", "o"])
    assert found == [("per", 0, 2)]
    assert counts == {"tag in lower case, its sign read as in upper case": 3}
    found, counts = read(["B_creative_work", "I_creative_work", "O"])
    assert found == [("creative_work", 0, 2)]
    assert counts == {"tag with '_' after its sign, read as '-'": 2}
    assert read(["B-PER", "o"])[1] == {"tag in lower case, its sign read as in upper case": 1}


@pytest.mark.parametrize(
    ("tags", "scheme", "message"),
    [
        ("O PER", "auto", "tag 'PER' is not a BIO tag"),
        ("O 0", "auto", "tag '0' is not a BIO tag"),
        ("O B", "auto", "tag 'B' has no type.* Add a type, e.g. B-ENT"),
        ("O s-", "auto", "tag 's-' has no type.* e.g. S-ENT"),
        ("O B-X|I-Y", "auto", "holds several tags"),
        ("B-PER b-per", "auto", "tag 'b-per' is in another case than 'B-PER'. Expected the same case"),
        ("O E-X", "bio", "tag 'E-X' is not of the scheme BIO, which was asked for. Expected O or .* one of B, I"),
        ("O S-X", "bilou", "not of the scheme BILOU"),
    ],
)
def test_tags_that_cannot_be_read(tags, scheme, message):
    with pytest.raises(TagError, match=message) as error:
        read(tags.split(), scheme)
    assert error.value.index == 1


def test_every_scheme_can_be_named():
    for scheme in SCHEMES:
        assert read(["I-X" if "I" in SCHEMES[scheme] else "M-X"], scheme)[0] == [("X", 0, 1)]
    assert TagReader("iob2").entities(["B-X"], str) == [Entity("X", (Segment(0, 1),))]


def test_labels_alone_have_to_be_asked_for():
    found, counts = read(["person", "person", "O", "B", "I-B", "I"], "io")
    assert found == [("person", 0, 2), ("B", 3, 5), ("I", 5, 6)]
    assert counts == {"entity tagged in the scheme IO": 3}


def test_what_is_a_tag():
    assert all(map(is_tag, ["O", "o", "B-X", "i_x", "U-a b"]))
    assert not any(map(is_tag, ["", "B", "B-", "X-Y", "PER", "B-X,O", "_", "-X-"]))
