"""Weakly supervised semantic segmentation as one Snakemake workflow."""

__version__ = "0.1.0"
