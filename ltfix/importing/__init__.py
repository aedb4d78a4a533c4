"""Features that other tools wrote, into a feature cache."""
