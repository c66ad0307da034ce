"""The demo's grammar: words, phrases and clauses, all invented; :mod:`genner.data.demo` generates sentences from it.

Notation of phrases and clauses: words separated by blanks. A word may be followed by ``/`` and letters; every letter is
one mention of the phrase, its label given by :data:`MARKS`, and the mention consists of all words that carry it::

    {hurt}/ab in/ab the/ab {joint}/ax and {joint}/by
    pain      in    the    knee        and shoulder    -> SYMPTOM  pain in the knee     BODY  knee
                                                          SYMPTOM  pain in the...shoulder  BODY  shoulder

``{lower}`` is an entry of :data:`LEXICON`, ``{UPPER}`` a phrase of :data:`PHRASES`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from zlib import crc32

__all__ = ["CLAUSES", "JOINERS", "LEXICON", "MARKS", "PHRASES", "Clauses", "Entries"]

#: The mention letters of every label.
MARKS = {
    **dict.fromkeys("abc", "SYMPTOM"),
    **dict.fromkeys("xyz", "BODY"),
    **dict.fromkeys("pqr", "PER"),
    **dict.fromkeys("lm", "LOC"),
    **dict.fromkeys("ou", "ORG"),
}


@dataclass(frozen=True)
class Entries:
    """The fillers of one kind: those of the training split, and those that occur only in dev or only in test."""

    train: tuple[str, ...]
    dev: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    def fresh(self, split: str) -> tuple[str, ...]:
        """The entries of ``split`` that never occur in training."""
        return {"dev": self.dev, "test": self.test}.get(split, ())


def _words(train: str, dev: str = "", test: str = "") -> Entries:
    """Comma-separated entries."""
    return Entries(*(tuple(entry.strip() for entry in part.split(",") if entry.strip()) for part in (train, dev, test)))


def _names(endings: str) -> Entries:
    """One name for every stem: an unseen name has a new stem and a known ending.

    There are many rare stems, so that a model cannot memorise the names and has to use endings and context.

    Args:
        endings: separated by blanks; the stem determines its ending.
    """
    choices = endings.split()
    pools: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for stem in _STEMS:
        ending = choices[crc32(f"{stem}/{endings}".encode()) % len(choices)]
        pools[_SPLIT_OF_STEM[crc32(stem.encode()) % len(_SPLIT_OF_STEM)]].append(stem + ending)
    return Entries(*(tuple(pools[split]) for split in ("train", "dev", "test")))


def _plural(entries: Entries) -> Entries:
    """The plurals of body parts."""
    return Entries(*(tuple(_several(word) for word in part) for part in (entries.train, entries.dev, entries.test)))


def _several(word: str) -> str:
    """The plural of an English noun, as far as the lexicon needs it."""
    return re.sub("f$", "ve", re.sub("ch$", "che", word)) + "s"


_SPLIT_OF_STEM = ("train",) * 7 + ("dev",) + ("test",) * 2
_ONSETS = ("B", "Br", "C", "D", "F", "G", "H", "K", "L", "M", "N", "P", "R", "S", "St", "T", "Th", "V", "W")
_CODAS = ("l", "n", "r", "m", "rk", "nd")
_AWKWARD = {"Bum", "Cum", "Cun", "Kum", "Ger", "Turk", "Fan", "Wor", "Work"}
_STEMS = tuple(sorted({*map("".join, product(_ONSETS, "aeiou", _CODAS))} - _AWKWARD))

_JOINT = _words(
    "knee, shoulder, hip, ankle, heel, calf, thigh, forearm, thumb, kneecap, eyelid, eardrum, shinbone, fingertip, "
    "palm, knuckle, temple, nostril, cheek, finger, toe, hand, arm, leg, ear, hamstring, tendon, armpit, molar, "
    "instep, kidney, wrist, elbow, shin, earlobe, jawbone, hipbone, anklebone, heelbone, thighbone, thumbnail, "
    "handbone, eyelash, eyeball, kneebone",
    "toenail",
    # As with names: an unseen stem and a known ending.
    "cheekbone, collarbone, wristbone, footbone, fingernail, eyebrow",
)

LEXICON = {
    "first": _words(
        "Maren, Tobias, Helena, Oskar, Ingrid, Petra, Lukas, Amara, Kofi, Yusuf, Leila, Dario, Noemi, Felix, Greta, "
        "Hugo, Irena, Janek, Katja, Lorenz, Milena, Nikolai, Olga, Pavel, Rosa, Stefan, Tamara, Viktor, Wanda, Zoran, "
        "Anselm, Bettina, Clara, Dmitri, Elena, Florian, Gideon, Hanna, Ivan, Julian, Marta, Silas, Theodor, Salome, "
        "Adela, Boris, Carla, Damian, Edith, Fabian, Gerda, Henrik, Ilona, Jasper, Kira, Leon, Mirko, Nadia, Otto, "
        "Paula, Quentin, Ronja, Sergei, Teresa, Ulrich, Vera, Walter, Xenia, Yara, Zelda, Agnes, Bruno, Cecilia, "
        "Daria, Emil, Flora, Gustav, Hedda, Igor, Jolanda, Klaus, Lydia, Magnus, Nora, Oleg, Pia, Roman, Sonja, Timo, "
        "Ursula, Vincent, Wilma, Yvonne, Arthur, Bianca, Conrad, Doris, Ernst, Frieda, Georg, Hilda, Isabel, Jonas, "
        "Karl, Laura, Moritz, Nina, Orlando, Philipp, Rahel, Simon, Thea, Urs, Valeria, Wolfgang, Zita, Alma, Basil",
        "Karina, Matthias, Rolan, Selina, Gerald, Ottilie",
        "Marina, Tobin, Irina, Janina, Stefania, Viktoria, Rosalind, Juliana, Anton, Kathrin, Elias, Florina, Tomas, "
        "Henrike, Damiana, Brunhild, Corinna, Valentin, Ernestine, Norbert, Philippa, Gustava",
    ),
    "last": _names("field man wright son ley well"),
    "place": _names("haven mouth bury ford stead dale"),
    "county": _names("shire land"),
    "brand": _names("tec dyne vex ora"),
    "firm": _words("Group, Systems, Partners, Airlines, Holdings, Industries"),
    "joint": _JOINT,
    "joints": _plural(_JOINT),
    "trunk": _words(
        "neck, back, chest, jaw, stomach, throat, scalp, tailbone, groin, forehead, pelvis, abdomen, bladder, tongue, "
        "nose, skull, belly, ribcage, backbone",
        "spine",
        "breastbone",
    ),
    "side": _words("left, right"),
    "hurt": _words(
        "pain, soreness, throbbing, discomfort, cramps, aching, spasms, pressure, tension, irritation, burning, "
        "pulsing, stinging, twinges",
    ),
    "quality": _words(
        "sharp, dull, constant, severe, mild, sudden, awful, nagging, slight, persistent, strong, intense, terrible, "
        "strange, violent, chronic, gnawing, fierce",
    ),
    "sense": _words(
        "numbness, stiffness, swelling, tingling, weakness, tenderness, itching, redness, tightness, warmth, "
        "puffiness, trembling, peeling, bleeding, dryness, heaviness, twitching, prickling, bruising, flaking",
    ),
    "state": _words(
        "swollen, stiff, numb, sore, bruised, tender, itchy, weak, inflamed, red, hot, cold, heavy, tight, painful, "
        "shaky, dry, pale, warm, puffy, blistered, achy",
    ),
    "trouble": _words(
        "dizziness, nausea, fatigue, fever, insomnia, drowsiness, headaches, blurred vision, dry mouth, hair loss, "
        "night sweats, memory loss, weight gain, shortness of breath, chills, hot flushes, confusion, anxiety, "
        "constipation, indigestion, palpitations, panic attacks, mood swings, nightmares, restlessness, brain fog, "
        "sleepiness, night chills, queasiness, vomiting, weight loss, double vision, breathlessness, "
        "lightheadedness, cold sweats",
    ),
    "poss": _words("my, his, her, the"),
    "kin": _words("mother, uncle, daughter, neighbour, brother, colleague"),
    "event": _words("the long flight, the match, the surgery, the night shift, the first dose, a fall, the marathon"),
    "day": _words("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday"),
    "season": _words("spring, summer, autumn, winter, week, month"),
    "month": _words("January, March, April, June, August, October, December"),
    "thing": _words("the plan, the new budget, the agreement, the bridge, the inquiry, the harvest, the merger"),
}

#: Phrases by name: (weight, phrase). The weights make about one mention in five discontinuous.
PHRASES = {
    "PER": [
        (8, "{first}/p {last}/p"),
        (2, "Dr {last}/p"),
        (1, "Professor {last}/p"),
        (1, "Mayor {first}/p {last}/p"),
        (2, "{first}/p and {first}/q {last}/pq"),
        (1, "{first}/p , {first}/q and {first}/r {last}/pqr"),
    ],
    "LOC": [
        (8, "{place}/l"),
        (2, "{county}/l"),
        (1, "Lake/l {place}/l"),
        (1, "Upper/l {county}/l"),
        (1, "Port/l {place}/l"),
        (1, "North/l and South/m {county}/lm"),
        (1, "East/l and West/m {county}/lm"),
    ],
    "ORG": [
        (4, "{brand}/o {firm}/o"),
        (2, "{brand}/o"),
        (1, "the University/o of/o {place}/ol"),
        (1, "the Bank/o of/o {place}/ol"),
        (1, "the Chamber/o of/o {county}/ol"),
        (1, "{place}/ol City/o Council/o"),
        (1, "{place}/ol General/o Hospital/o"),
        (1, "{place}/ol Rovers/o"),
        (1, "the {place}/ol Evening/o Post/o"),
        (1, "the {county}/ol Health/o Board/o"),
        (1, "the {first}/op {last}/op Foundation/o"),
        (1, "the {last}/op Clinic/o"),
        (1, "the Universities/ou of/ou {place}/ol and {place}/um"),
        (1, "{place}/ol and {place}/um City/ou Councils/ou"),
    ],
    "BOD": [(3, "{side}/x {joint}/x"), (2, "{joint}/x"), (2, "{trunk}/x"), (2, "{joint}/x and {trunk}/y")],
    "SYM": [
        (5, "{trouble}/a"),
        (2, "{quality}/a {trouble}/a"),
        (2, "{quality}/a {hurt}/a"),
        (2, "{sense}/a"),
        # nested
        (2, "{hurt}/a in/a the/a {side}/ax {joint}/ax"),
        (2, "{quality}/a {hurt}/a in/a {poss}/a {trunk}/ax"),
        (2, "{sense}/a in/a {poss}/a {joints}/ax"),
        (2, "{joint}/ax {hurt}/a"),
        (2, "{quality}/a {trunk}/ax {hurt}/a"),
        (2, "{state}/a {joints}/ax"),
        (1, "{hurt}/a behind/a the/a {joint}/ax"),
        (1, "{sense}/a around/a the/a {side}/ax {joint}/ax"),
        # discontinuous
        (1, "{hurt}/ab in/ab the/ab {side}/abxy {joint}/ax and {joint}/by"),
        (2, "{hurt}/ab in/ab {poss}/ab {trunk}/ax and {joints}/by"),
        (1, "{sense}/ab in/ab the/ab {joint}/ax or {trunk}/by"),
        (1, "{quality}/ab {hurt}/ab in/ab the/ab {joint}/ax and {joint}/by"),
        (2, "{trunk}/ax and {joint}/by {hurt}/ab"),
        (1, "{joint}/ax , {joint}/by and {trunk}/cz {hurt}/abc"),
        (2, "{quality}/a and {quality}/b {hurt}/ab"),
        (1, "{quality}/a but {quality}/b {hurt}/ab in/ab the/ab {trunk}/abx"),
        (1, "{sense}/a and {sense}/b in/ab the/ab {joint}/abx"),
        (2, "{state}/ab {joints}/ax and {joints}/by"),
    ],
}


@dataclass(frozen=True)
class Clauses:
    """A domain: what a sentence may begin with, say and end with. ``""`` is no opening, no ending."""

    openings: tuple[str, ...]
    cores: tuple[str, ...]
    endings: tuple[str, ...]


def _choices(text: str) -> tuple[str, ...]:
    """Choices separated by ``|``."""
    return tuple(choice.strip() for choice in text.split("|"))


_NEWS = Clauses(
    _choices(
        "| on {day} , | last {season} , | in {month} , | according to the report , | to general surprise , | "
        "for the third time , | after long talks ,"
    ),
    (
        "{PER} moved from {LOC} to {LOC}",
        "{ORG} opened a new office in {LOC}",
        "{PER} joined {ORG} as head of research",
        "voters in {LOC} rejected {thing}",
        "{ORG} hired {PER} as an adviser",
        "{PER} from {ORG} praised {thing}",
        "heavy rain flooded several streets in {LOC}",
        "{ORG} sold its shares to {ORG}",
        "the train from {LOC} to {LOC} arrived late",
        "{PER} spoke to reporters outside {ORG}",
        "police in {LOC} questioned {PER} about the fire",
        "{ORG} postponed {thing}",
        "{ORG} and {ORG} signed a contract",
        "students at {ORG} met {PER} on the steps",
        "{PER} bought a farm near {LOC}",
        "the council cancelled the ferry to {LOC}",
        "{PER} criticised {ORG} in an open letter",
        "the museum in {LOC} showed paintings by {PER}",
        "residents of {LOC} thanked {PER} for the donation",
    ),
    _choices(
        "| on {day} | last {season} | in {month} | , the paper reported | , a spokeswoman said | despite many "
        "objections | without any explanation"
    ),
)

_HEALTH = Clauses(
    _choices(
        "| on {day} , | last {season} , | after {event} , | to be honest , | for the first time , | as far as "
        "I remember , | two days later ,"
    ),
    (
        "I woke up with {SYM}",
        "the tablets gave me {SYM}",
        "{PER} complained of {SYM}",
        "I noticed {SYM} again",
        "my {kin} developed {SYM} during the holidays in {LOC}",
        "{PER} went to {ORG} because of {SYM}",
        "the nurse wrote down {SYM} in the chart",
        "nobody at {ORG} could explain {SYM}",
        "{SYM} kept {PER} awake",
        "the doctor examined {poss} {BOD} and found nothing",
        "{poss} {side}/abx {joint}/abx felt {state}/a and {state}/b",
        "{poss} {joints}/ax got {state}/a",
        "the {hurt}/a came back in/a {poss}/a {joint}/ax",
        "my {kin} stopped the medicine because of {SYM}",
        "besides {SYM} I also had {SYM}",
        "a scan at {ORG} showed no cause for {SYM}",
        "{PER} hurt {poss} {BOD} at work",
        "she rubbed the cream on {poss} {BOD}",
        "the leaflet lists {SYM} as a side effect",
        "{PER} asked whether {SYM} could come from the injection",
        "the {joint}/ax of {PER} turned quite {state}/a",
    ),
    _choices(
        "| on {day} | last {season} | after {event} | , which worried us all | before the next appointment | "
        "without any warning | , so we called the surgery"
    ),
)

_NOTHING = Clauses(
    ("", "on {day} ,", "last {season} ,", "in {month} ,", "to be honest ,", "after {event} ,"),
    (
        "the waiting room was empty for most of the morning",
        "we took two tablets with a large glass of water",
        "the meeting ended without a clear result",
        "prices for bread and milk rose once more",
        "the committee will decide about {thing}",
        "nobody expected such a quiet weekend",
        "my {kin} cancelled the appointment by phone",
        "the cottage at the foot of the hill was sold",
        "the head of the department refused to comment",
        "they argued about {thing} for hours",
        "the leaflet did not mention any of this",
        "the second half was better than the first",
        "a new prescription arrived with the morning post",
        "the pharmacist recommended a cheaper brand",
        "most people in the queue stayed calm",
    ),
    ("", "on {day}", "last {season}", "in {month}", ", as usual", "despite the cold weather"),
)

#: Clauses by domain.
CLAUSES = {"news": _NEWS, "health": _HEALTH, "nothing": _NOTHING}
#: Words between two clauses of one domain.
JOINERS = (", and", ", but", "while")
