"""What probes of whole splits share."""
