"""Greedy search and beams in a few lines of Python, one sentence at a time, on probability tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch

from genner.model.generation import GenerationConfig
from tests.model.generation.oracle import Rules, Sentence, following, n_repetitions, prefix_tree
from tests.model.generation.table_model import BOS, EOS, Table, all_sequences
from tests.model.generation.table_search import FIRST, LABEL, N_LABELS, OTHER, SECOND

FIRST_POINTER = 2 + N_LABELS


def legal_sequences(limit: int, constrained: bool) -> list[tuple[int, ...]]:
    if not constrained:
        return all_sequences([LABEL, OTHER, FIRST, SECOND], limit)
    tree = prefix_tree(Sentence((1, 1), 1, 1, limit), Rules("word", "discontinuous", N_LABELS))
    return [(*prefix, EOS) for prefix, following in tree.items() if EOS in following]


def score_of(total: float, sequence: Sequence[int], penalty: float) -> float:
    """Score of a hypothesis: the length counts BOS but not EOS, except for the empty one."""
    return total / max(len(sequence) - 1, 2) ** penalty


def plain_choice(
    table: Table, sentence: int, prefix: tuple[int, ...], limit: int, config: GenerationConfig
) -> tuple[set[int], float]:
    """The symbols that may follow, and the probability of the legal ones if another one is the most probable."""
    if not config.constrained:
        return {LABEL, OTHER, FIRST, SECOND, EOS} if len(prefix) + 1 < limit else {EOS}, 1.0
    rules = Rules("word", config.structure, N_LABELS)
    legal, possible = following(Sentence((1, 1), 1, 1, limit), rules, prefix)
    probabilities = torch.tensor(table(sentence, prefix)).softmax(0).tolist()
    mass = 1.0 if config.masked else sum(probabilities[symbol] for symbol in legal)
    chosen = legal | possible if mass < config.give_up else legal
    ranked = rank(table, sentence, prefix, config)
    return chosen, 1.0 if ranked.index(max(ranked)) in chosen else mass


def rank(table: Table, sentence: int, prefix: tuple[int, ...], config: GenerationConfig) -> list[float]:
    """Logits with the penalty for ending, unless the last group stands further ahead as well."""
    logits = list(table(sentence, prefix))
    if not (config.constrained and n_repetitions(groups_of(prefix))):
        logits[EOS] -= config.eos_penalty
    return logits


def groups_of(prefix: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The groups that a prefix holds, each up to its label."""
    ends = [place for place, symbol in enumerate(prefix, 1) if EOS < symbol < FIRST_POINTER]
    return [prefix[start:end] for start, end in pairwise([1, *ends])]


def plain_greedy(table: Table, sentence: int, limit: int, config: GenerationConfig) -> tuple[list[int], list[float]]:
    """One sentence, one symbol at a time; the sequence and its masses."""
    sequence, masses = [BOS], [1.0]
    while sequence[-1] != EOS or len(sequence) == 1:
        chosen, mass = plain_choice(table, sentence, tuple(sequence), limit, config)
        logits = rank(table, sentence, tuple(sequence), config)
        sequence.append(max(sorted(chosen), key=lambda symbol: logits[symbol]))
        masses.append(mass)
    return sequence, masses


def plain_beams(table: Table, sentence: int, limit: int, config: GenerationConfig) -> list[tuple[float, list[int]]]:
    """One sentence, Python lists, no early end."""
    beams, finished = [(0.0, (BOS,))], []
    while beams:
        longer = []
        for total, prefix in beams:
            chosen, _ = plain_choice(table, sentence, prefix, limit, config)
            logprobs = torch.tensor(rank(table, sentence, prefix, config)).log_softmax(0)
            if config.masked:
                logprobs -= logprobs[list(chosen)].logsumexp(0)
            longer += [(total + logprobs[symbol].item(), (*prefix, symbol)) for symbol in sorted(chosen)]
        best = sorted(longer, key=lambda item: -item[0])[: 2 * config.num_beams]
        finished += [(score_of(total, ids, config.length_penalty), list(ids)) for total, ids in best if ids[-1] == EOS]
        beams = [item for item in best if item[1][-1] != EOS][: config.num_beams]
    return sorted(finished, key=lambda item: -item[0])[: config.n_best]
