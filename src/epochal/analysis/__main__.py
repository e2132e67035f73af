"""``python -m epochal.analysis TASK``: a process that answers the jobs of ``many.py``."""

import sys

from epochal.analysis.curves.serve import main

if __name__ == "__main__":
    main(sys.argv[1], sys.stdin)
