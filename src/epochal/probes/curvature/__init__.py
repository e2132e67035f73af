"""What measures of the loss's second derivative share."""
