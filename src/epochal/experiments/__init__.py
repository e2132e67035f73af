"""What can be run: one folder per experiment with ``spec.py``, ``build.py`` and ``presets.py``."""
