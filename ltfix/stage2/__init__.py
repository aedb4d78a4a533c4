"""Stage 2: retraining the classifier on cached features."""
