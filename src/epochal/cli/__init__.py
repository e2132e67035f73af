"""The command line: what is typed becomes a request; what is known becomes a table."""

from epochal.cli.main import main

__all__ = ["main"]
