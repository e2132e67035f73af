"""Values and tensors that every room shares."""
