"""Colours of a cue by name, without torch: a spec checks them before anything is built."""

import itertools

COLORS = {
    "red": (1, -1, -1),
    "blue": (-1, -1, 1),
    "green": (-1, 1, -1),
    "yellow": (1, 1, -1),
    "magenta": (1, -1, 1),
    "cyan": (-1, 1, 1),
    "white": (1, 1, 1),
    "black": (-1, -1, -1),
    "orange": (1, 0, -1),
    "purple": (0, -1, 1),
    "lime": (0, 1, -1),
    "grey": (0, 0, 0),
}
"""Red, green and blue, in units of normalised pixels. The first two have the same mean."""


def check_colors(names: tuple[str, ...]) -> None:
    """Whether these are different colours that there are.

    Raises:
        ValueError: in one line, what is wrong.
    """
    for name in names:
        if name not in COLORS:
            raise ValueError(f"cue_colors has {name}: choose {', '.join(COLORS)}")
    for one, other in itertools.pairwise(sorted(names)):
        if one == other:
            raise ValueError(f"cue_colors has {one} twice; every class needs a colour of its own")
