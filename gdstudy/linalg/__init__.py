"""Checks of what goes in, units, the SVD of a stack, and from tensors to numbers.

Knows neither data sets, studies nor models."""
