"""Code that reads, checks and encodes NER data. Corpora themselves live elsewhere (``data.root`` in the recipe)."""
