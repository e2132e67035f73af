"""The null of credit, for stored runs and for checkpoints from elsewhere."""
