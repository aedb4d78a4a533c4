"""The training step, its data, its samplers, its scaling."""
