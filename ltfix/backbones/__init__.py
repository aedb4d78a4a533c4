"""From images to features: loading a backbone, running it frozen, writing the cache."""
