"""What a fit leaves open, chosen on validation samples."""
