"""Texts out of files: one input at a time, whatever a file holds; what cannot be read is an input that says so."""

from __future__ import annotations

from genner.prediction.reading.formats import FORMATS, read_inputs

__all__ = ["FORMATS", "read_inputs"]
