"""Predictions over a split and their scores."""

from __future__ import annotations

import pytest
import torch

from genner.data.schema import Entity
from genner.evaluation.span_f1 import SpanF1
from genner.training.evaluation import predict, score
from genner.training.predictions import Prediction
from tests.training.toy import ToyTask, toy_examples, toy_loader

EXAMPLES = toy_examples(30, 4)


def test_the_order_is_that_of_the_split_whatever_the_batches():
    task = ToyTask()
    first = predict(task, toy_loader(EXAMPLES, size=4), 30)
    shuffled = predict(task, toy_loader(EXAMPLES, by="pieces", size=40, shuffle=True), 30)
    assert [prediction.example_idx for prediction in first] == list(range(30))
    assert [prediction.entities for prediction in first] == [prediction.entities for prediction in shuffled]


@pytest.mark.parametrize("was_training", [True, False])
def test_it_is_in_eval_mode_without_gradients_and_leaves_the_mode_as_it_was(was_training):
    seen = []

    class Peek(ToyTask):
        def predict(self, batches):
            for batch in batches:
                seen.append((self.training, torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
                if len(seen) == 3:
                    raise KeyboardInterrupt
                yield from super().predict([batch])

    task = Peek().train(was_training)
    predict(task, toy_loader(EXAMPLES[:8], size=4), 8)
    assert seen == [(False, False, False)] * 2
    assert task.training is was_training
    with pytest.raises(KeyboardInterrupt):
        predict(task, toy_loader(EXAMPLES[:8], size=4), 8)
    assert task.training is was_training


class Parts(ToyTask):
    """Finds a fruit at the first word of every row, the last row first."""

    def predict(self, batches):
        rows = [row for batch in batches for row in zip(batch["idx"], batch["word_offset"], strict=True)]
        for idx, offset in reversed(rows):
            yield Prediction(idx, [Entity.from_flat("fruit", [0, 1])], [0.0], word_offset=offset)


def test_parts_of_a_sentence_become_one_prediction_in_any_order():
    batches = [{"idx": [0, 1], "word_offset": [0, 4]}, {"idx": [1, 2], "word_offset": [0, 0]}]
    predictions = predict(Parts(), batches, 3)
    assert [entity.start for entity in predictions[1].entities] == [0, 4]
    assert [len(prediction.entities) for prediction in predictions] == [1, 2, 1]


def test_sentences_without_a_row_have_an_empty_prediction():
    predictions = predict(Parts(), [{"idx": [2], "word_offset": [0]}], 3)
    assert [len(prediction.entities) for prediction in predictions] == [0, 0, 1]


def test_scores_are_plain_values():
    predictions = [Prediction(idx, list(example.entities)) for idx, example in enumerate(EXAMPLES)]
    perfect = score(SpanF1(), EXAMPLES, predictions)
    assert perfect["f"] == perfect["em"] == 100
    predictions[0] = Prediction(0, [*EXAMPLES[0].entities], rejected=[("unaligned", (3,)), ("open", (4,))], exact=False)
    worse = score(SpanF1(), EXAMPLES, predictions)
    assert worse["counts"]["fp"] == 1 and worse["counts"]["strict_fp"] == 2
    assert worse["counts"]["em"] == 29


def test_a_prediction_too_few_is_an_error():
    with pytest.raises(ValueError, match="zip"):
        score(SpanF1(), EXAMPLES, [])
