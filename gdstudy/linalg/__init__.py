"""Checks of what goes in, units, the SVD of a stack, threads, and from tensors to numbers.

Knows rows and splits as tensors; neither data sets by name, studies nor models."""
