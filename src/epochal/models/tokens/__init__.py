"""Networks for token sequences, found in this folder by name; each file names its class ``model``."""
