"""What every probe and every rule must pass: the same checks for epochal's own and for a user's."""
