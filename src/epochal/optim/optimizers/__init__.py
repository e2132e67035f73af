"""Optimisers: found in this folder by name; each file has ``optimizer(spec, layout)``."""
