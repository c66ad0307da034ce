"""Turn the distributors' originals into the files that the loaders read: ``genner prepare <name>``."""
