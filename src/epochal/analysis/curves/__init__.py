"""When one curve changed: transitions, passages, plateaus, and curves without any."""
