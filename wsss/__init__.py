"""Weakly supervised semantic segmentation as one Snakemake workflow."""

import os

# OpenMP's threads spin while they wait, and a spinning thread takes the core that a loader worker
# or another job needs: training next to its workers ran at half speed. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.2.0"
