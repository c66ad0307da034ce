"""Conversion of the distributors' originals to files that the loaders read: ``genner prepare <name>``."""
