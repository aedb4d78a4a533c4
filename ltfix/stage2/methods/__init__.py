"""The methods, what they are made of, and their values."""
