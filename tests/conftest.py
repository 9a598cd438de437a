"""One thread a test process: two share two cores, and OpenMP threads wait for each other."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
