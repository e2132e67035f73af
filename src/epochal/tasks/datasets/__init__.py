"""Labelled images from files, as NumPy arrays: one loader per container, a catalogue, a download."""
