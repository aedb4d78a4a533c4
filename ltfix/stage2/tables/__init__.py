"""Many fits in one table: comparisons and sweeps."""
