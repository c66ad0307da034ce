"""Speed, measured: every benchmark is a command that prints a table and writes JSON. See ``docs/performance.md``."""
