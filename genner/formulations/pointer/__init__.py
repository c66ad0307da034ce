"""The pointer formulation: entities as symbols that point at source positions (Yan et al., 2021)."""
