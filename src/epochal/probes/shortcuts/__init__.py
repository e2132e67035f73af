"""What probes of shortcuts and invariance share."""
