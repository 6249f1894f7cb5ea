"""Exact expected risks, one law a file, named by its source.

Knows distributions and sizes, no sample and no estimate."""
