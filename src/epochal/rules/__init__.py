"""Credit assignment: which direction each parameter is told to go."""
