"""Results into files: one at a time, in formats that say what they cannot hold and count what they leave out."""

from __future__ import annotations

from genner.prediction.writing.formats import FORMATS
from genner.prediction.writing.outputs import Output, open_output, writable

__all__ = ["FORMATS", "Output", "open_output", "writable"]
