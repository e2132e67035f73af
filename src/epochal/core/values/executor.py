"""How the members of a pack are trained: batched, one after the other, or side by side in processes."""

from typing import Literal

Executor = Literal["vmap", "loop", "processes"]
"""``vmap``: every operation once for all members. ``loop``: a forward and backward per member, as small in
memory as one. ``processes``: members in turn, in packs that train at the same time, a process and a thread
each."""

InProcess = Literal["vmap", "loop"]
"""What the engine knows of it: a pack in its own process is a pack that loops."""
