"""Accuracy by shot and other measures of heads on feature caches. Numpy only: no torch is imported."""

from ltfix.evaluation.measure import evaluate as evaluate
from ltfix.evaluation.report import Report as Report
