"""``python -m epochal.cli``: the command line where no script is installed."""

from epochal.cli.main import main

main()
