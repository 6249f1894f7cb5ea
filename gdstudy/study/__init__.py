"""What is asked: the keys of a study, their values, and the facts of what they name.

Imports neither torch, pandas nor scikit-learn and computes nothing. All that users are told goes through `console`."""
