"""Constrained search over pointer symbols; knows tensors and nothing of tasks or corpora."""

from model.generation.config import GenerationConfig
from model.generation.constraints import AnyPiece, PointerConstraint
from model.generation.search import search, search_all
from model.generation.state import Hypothesis, Started

__all__ = [
    "AnyPiece",
    "GenerationConfig",
    "Hypothesis",
    "PointerConstraint",
    "Started",
    "search",
    "search_all",
]
