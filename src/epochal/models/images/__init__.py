"""Networks for images, found in this folder by name; each file names its class ``model``."""
