"""Where and how a request executes: packs, resume, interrupts, progress."""
