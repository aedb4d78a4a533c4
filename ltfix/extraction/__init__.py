"""Images through a backbone into a feature cache."""
