"""Token tasks whose examples are numbered: operation, form of the input, order of the examples."""
