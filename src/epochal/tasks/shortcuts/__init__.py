"""Images with a shortcut: a cue that tells the label as often as one likes, noisy labels, environments."""
