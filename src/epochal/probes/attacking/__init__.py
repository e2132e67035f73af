"""What probes of robustness share."""
