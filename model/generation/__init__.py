"""Constrained search over pointer symbols; knows tensors and nothing of tasks or corpora."""

from genner.model.generation.config import GenerationConfig
from genner.model.generation.constraints import AnyPiece, PointerConstraint
from genner.model.generation.search import search, search_all
from genner.model.generation.state import Hypothesis, Started

__all__ = [
    "AnyPiece",
    "GenerationConfig",
    "Hypothesis",
    "PointerConstraint",
    "Started",
    "search",
    "search_all",
]
