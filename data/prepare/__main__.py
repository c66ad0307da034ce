"""``python -m data.prepare`` is ``genner prepare``."""

from genner.cli import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("prepare"))
