"""What the Snakefile asks: configuration, results tree, targets, status."""
