"""Draws figures, the page of a run and the files for a paper. Never torch at import."""
