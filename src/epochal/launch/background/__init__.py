"""Training that goes on without a terminal, and its end."""
