"""Recipes of our own, as good or as fast as fastnn gets; `python -m examples.reproduce` runs them."""
