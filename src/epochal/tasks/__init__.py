"""What is learned. A task gives the batch of any indices of one member, on the device."""
