"""Torch values: random numbers, the flat layout, populations, batches, taps."""
