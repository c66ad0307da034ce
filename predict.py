"""``python predict.py`` is ``genner predict``."""

from genner.cli import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("predict"))
