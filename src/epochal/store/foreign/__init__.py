"""Logs of other programs, read as they were written: tables, TensorBoard, W&B, Lightning. Never torch."""
