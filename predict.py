"""Find the entities of your own text with a trained model.

python predict.py runs/demo/.../best --text "Sore knees and elbows since Monday."
python predict.py runs/demo/.../best --input notes.txt --output found.jsonl
python predict.py runs/demo/.../best --input letters/ --output found/ --to brat

From Python: ``from predict import load``. docs/prediction.md describes both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prediction.command import main, parse

if TYPE_CHECKING:
    from prediction.recogniser import Recogniser, load

__all__ = ["Recogniser", "load", "main", "parse"]


def __getattr__(name: str) -> Any:
    """``load`` and ``Recogniser`` when they are asked for: torch takes seconds, which ``--help`` should not cost."""
    if name in ("Recogniser", "load"):
        from prediction import recogniser

        return getattr(recogniser, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if __name__ == "__main__":
    raise SystemExit(main())
