"""One explaining method per file."""
