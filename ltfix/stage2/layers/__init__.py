"""Trainable heads: logits, step, folded."""
