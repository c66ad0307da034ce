"""``python -m data.prepare <name> --raw DIR --out DIR``; see docs/corpora.md."""

from data.prepare.command import main

if __name__ == "__main__":
    raise SystemExit(main())
