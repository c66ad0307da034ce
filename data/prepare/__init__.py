"""Turn the distributors' originals into the files that the loaders read: ``python -m data.prepare <name>``."""
