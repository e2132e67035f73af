"""What looks wrong with a run."""
