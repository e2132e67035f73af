"""Transforms on the flat matrix: gradient in, update out; ``chain`` spells the order."""
