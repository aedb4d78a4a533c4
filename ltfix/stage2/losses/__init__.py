"""The losses: literal value and closed-form gradient."""
