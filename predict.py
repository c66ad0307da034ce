"""Find the entities of your own text with a trained model.

python predict.py runs/demo/.../best --text "Sore knees and elbows since Monday."
"""

from __future__ import annotations

from prediction.recogniser import Recogniser, load

__all__ = ["Recogniser", "load"]
