"""What probes of single sites share."""
