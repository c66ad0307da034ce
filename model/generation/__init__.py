"""Constrained search over pointer symbols; knows tensors and nothing of tasks or corpora."""

from model.generation.config import GenerationConfig
from model.generation.constraints import AnyPiece, PointerConstraint
from model.generation.search import search
from model.generation.state import Hypotheses, Hypothesis

__all__ = ["AnyPiece", "GenerationConfig", "Hypotheses", "Hypothesis", "PointerConstraint", "search"]
