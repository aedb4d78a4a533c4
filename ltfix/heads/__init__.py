"""Classifier heads: what `fit` makes and `evaluate` reads. Numpy only."""
