"""Batches → store: runs what is missing of a study, keeps it, and says how far it is.

Knows a run's folder; computes no number and draws nothing."""
