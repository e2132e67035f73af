"""What objectives share that compare environments or groups of one batch."""
