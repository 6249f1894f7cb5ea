"""Stored tables → what people look at: TensorBoard, figures, claims, the terminal's tables.

Trains nothing and reads no store."""
