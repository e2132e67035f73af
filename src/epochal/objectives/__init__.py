"""What is minimised: losses as values."""
