"""Networks: one file per architecture. A module takes ``(inputs, tap)`` and is built on ``meta``."""
