"""``python -m genner``, or this file by its path, which finds the package in any working folder."""

import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from genner.cli import main

raise SystemExit(main())
