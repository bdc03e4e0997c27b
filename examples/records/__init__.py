"""Recipes of our own: as good or as fast as it gets; `python -m examples.reproduce` runs them."""
