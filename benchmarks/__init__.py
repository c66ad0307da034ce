"""Speed, measured: every benchmark is a command that prints a table and writes JSON. See ``docs/performance.md``."""

from genner.cli import use_stand_ins

use_stand_ins()  # of every command at once
