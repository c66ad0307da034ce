"""GenNER: named entity recognition of every kind (flat, nested, discontinuous) by generating entities.

``from genner import load`` opens a trained model; ``genner --help`` lists the commands.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genner.prediction.recogniser import Recogniser

__all__ = ["__version__", "load"]

__version__ = "0.1.0"

# In a checkout, data/, model/ and patches/ lie beside this folder. They are imported as ``genner.data`` and so on: the
# plain names would clash with a ``data.py`` or ``model.py`` of whoever uses this package.
if not (Path(__file__).parent / "data").is_dir():
    __path__.append(str(Path(__file__).resolve().parents[1]))


def load(model: str | Path, **options: Any) -> Recogniser:
    """Open a trained model; see :func:`genner.prediction.recogniser.load`, which this calls.

    torch and transformers are imported at the first call, not with this package.
    """
    from genner.prediction.recogniser import load as open_model

    return open_model(model, **options)
