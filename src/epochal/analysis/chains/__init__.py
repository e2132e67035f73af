"""Markov chains: whether they have mixed, and what their draws say."""
