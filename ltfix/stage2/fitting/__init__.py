"""Where a fit starts, batches of runs, validation samples."""
