"""Foundations that know nothing of any stage: files, recipes, training loop, command line."""
