"""Constrained search over pointer symbols: tensors only, no tasks and no corpora."""

from genner.model.generation.config import GenerationConfig
from genner.model.generation.constraints import AnyPiece, PointerConstraint
from genner.model.generation.search import search_all
from genner.model.generation.state import Hypothesis, PreparedBatch

__all__ = [
    "AnyPiece",
    "GenerationConfig",
    "Hypothesis",
    "PointerConstraint",
    "PreparedBatch",
    "search_all",
]
