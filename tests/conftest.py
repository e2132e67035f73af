"""One thread for every test: small networks gain nothing from two, and lose much on a busy machine."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
