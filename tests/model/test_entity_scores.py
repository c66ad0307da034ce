"""Scores of entities against sums over every legal sequence, and by hand."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
import torch

from benchmarks.corpus import LABELS, draw_sentences
from benchmarks.models import LENGTHS, Shape, Workload, pointer_task
from benchmarks.training_data import TrainingData, loss_of
from genner.data.schema import Entity, Example
from genner.errors import ConfigError
from genner.model.entity_scores import mass_of_entities
from genner.training.predictions import Prediction
from tests.model.generation.oracle import Rules, Sentence, prefix_tree

EOS = 1
N_BEAMS = 200  # more than there are legal sequences, so that the search leaves out none
LIMIT = 6
KNEE, HIP, ELBOW = (Entity.from_flat("BODY", [place, place + 1]) for place in (3, 1, 5))


class TinyTask:
    """A small model that is unsure: trained for a moment on sentences of two words whose entities are drawn by lot."""

    def __init__(self) -> None:
        model = Workload(Shape.quick()).model
        rng, entities = random.Random(5), [Entity.from_flat(LABELS[0], span) for span in ([0, 1], [0, 2], [1, 2])]
        entities.append(Entity.from_flat(LABELS[1], [1, 2]))
        words = [example.words[:2] for example in draw_sentences(12, LENGTHS)]
        self.examples = [Example(row, tuple(rng.sample(entities, rng.randrange(4)))) for row in words]
        self.data = TrainingData(self.examples, model.backbone.tokenizer, LABELS)
        self.batch = self.data.batch(range(len(self.examples)))
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        torch.manual_seed(3)
        for _ in range(60):
            optimizer.zero_grad()
            loss_of(model, self.batch).backward()
            optimizer.step()
        self.model = model.eval().double()

    def predict(self, num_beams: int = N_BEAMS, **options: Any) -> dict[int, Prediction]:
        task = pointer_task(self.model, self.data.codec, max_len=LIMIT, num_beams=num_beams, **options)
        return {found.example_idx: found for found in task.predict([self.batch])}

    def logprobs(self, number: int) -> Mapping[tuple[int, ...], float]:
        """Every legal sequence of a sentence with its log-probability, each through the model by itself."""
        bounds = self.batch["rows"].bounds[number]
        pieces = tuple(end - start for start, end in pairwise(bounds))
        source = self.batch["src_tokens"][number : number + 1, : self.batch["src_seq_len"][number]]
        tail = source.shape[1] - bounds[-1]
        rules = Rules("word", "discontinuous", len(LABELS))
        tree = prefix_tree(Sentence(pieces, bounds[0], tail, LIMIT), rules)
        found = {}
        for sequence in ((*prefix, EOS) for prefix, following in tree.items() if EOS in following):
            target = torch.tensor([sequence])
            with torch.no_grad():
                logits = self.model(source, torch.tensor([source.shape[1]]), target)["logits"][0]
            steps = logits.log_softmax(-1)[range(len(sequence) - 1), target[0, 1:]]
            found[sequence] = float(steps.sum())
        return found


@pytest.fixture(scope="module")
def tiny() -> TinyTask:
    return TinyTask()


def test_with_all_sequences_the_mass_is_the_probability_of_the_entity(tiny: TinyTask) -> None:
    predictions = tiny.predict(scores="nbest", candidates=True)
    n_beyond_best = 0
    for number, prediction in predictions.items():
        logprobs = tiny.logprobs(number)
        assert 20 < len(logprobs) <= N_BEAMS
        total = sum(map(math.exp, logprobs.values()))
        expected: dict[Entity, float] = {}
        for sequence, logprob in logprobs.items():
            for entity in set(tiny.data.codec.decode(sequence, tiny.batch["rows"].bounds[number]).entities):
                expected[entity] = expected.get(entity, 0.0) + math.exp(logprob) / total
        found = dict(zip(prediction.entities, prediction.scores, strict=True))
        assert len(found) == len(prediction.entities), "an entity is handed out twice"
        assert found == pytest.approx(expected, abs=1e-6)
        best = max(logprobs, key=lambda sequence: logprobs[sequence] / max(len(sequence) - 1, 2))  # length penalty
        first = tiny.data.codec.decode(best, tiny.batch["rows"].bounds[number]).entities
        assert prediction.entities[: len(first)] == first
        others = prediction.scores[len(first) :]
        assert others == sorted(others, reverse=True)
        n_beyond_best += len(others)
    assert n_beyond_best > 10
    assert {len(prediction.entities) for prediction in tiny.predict().values()} > {0, 1}, "all answers are alike"


def test_without_candidates_the_entities_are_those_of_the_best_hypothesis(tiny: TinyTask) -> None:
    plain, candidates = tiny.predict(num_beams=8), tiny.predict(num_beams=8, scores="nbest", candidates=True)
    for number, prediction in tiny.predict(num_beams=8, scores="nbest").items():
        assert prediction.entities == plain[number].entities
        assert prediction.rejected == plain[number].rejected
        mass = dict(zip(candidates[number].entities, candidates[number].scores, strict=True))
        assert prediction.scores == [mass[entity] for entity in prediction.entities]


def test_the_score_of_symbols_is_their_probability_after_what_was_written_before(tiny: TinyTask) -> None:
    checked = 0
    for number, prediction in tiny.predict().items():
        logprobs = tiny.logprobs(number)
        best = max(logprobs, key=lambda sequence: logprobs[sequence] / max(len(sequence) - 1, 2))  # length penalty
        decoded = tiny.data.codec.decode(best, tiny.batch["rows"].bounds[number])
        target = torch.tensor([best])
        source = tiny.batch["src_tokens"][number : number + 1, : tiny.batch["src_seq_len"][number]]
        with torch.no_grad():
            logits = tiny.model(source, torch.tensor([source.shape[1]]), target)["logits"][0]
        steps = logits.double().softmax(-1)[range(len(best) - 1), target[0, 1:]].tolist()
        expected = [math.prod(steps[start - 1 : end - 1]) for start, end in decoded.symbol_spans]
        assert prediction.scores == pytest.approx(expected, rel=1e-4)
        checked += len(expected)
    assert checked > 5


def test_mass_by_hand() -> None:
    logprobs = [math.log(share) - 700.0 for share in (0.4, 0.3, 0.2, 0.1)]  # sums that underflow if they are made
    mass = mass_of_entities(logprobs, [[KNEE, HIP, KNEE], [KNEE, ELBOW], [], [ELBOW, HIP]])
    assert list(mass) == [KNEE, HIP, ELBOW]
    assert list(mass.values()) == pytest.approx([0.7, 0.5, 0.4])


def test_an_entity_of_all_hypotheses_has_the_whole_mass_and_not_more() -> None:
    mass = mass_of_entities([-0.1 * number for number in range(9)], [[KNEE]] * 9)
    assert mass[KNEE] == pytest.approx(1.0) and mass[KNEE] <= 1.0
    assert mass_of_entities([-1.0, -2.0], [[], []]) == {}


@pytest.mark.parametrize(
    ("options", "num_beams", "message"),
    [
        ({"scores": "marginal"}, 4, r"scores: unknown kind 'marginal'\. Expected one of symbols, nbest\."),
        ({"scores": "nbest"}, 1, r"scores: nbest with num_beams 1\. Expected several .* Set num_beams to 2 or more"),
        ({"candidates": True}, 4, r"candidates: asked for with scores 'symbols'\. Expected nbest\. Set scores"),
    ],
)
def test_scores_that_a_search_cannot_give(
    tiny: TinyTask, options: dict[str, Any], num_beams: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny.predict(num_beams=num_beams, **options)
