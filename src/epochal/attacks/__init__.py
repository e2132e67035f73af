"""Adversarial examples: functions of a network as a function; radii are in units of pixels in [0, 1]."""
