"""A toy formulation: every word has the label that it mostly has in training. CONTRIBUTING.md walks through it."""
