"""Accuracy by shot and other measures of heads on feature caches. Numpy only: no torch is imported."""
