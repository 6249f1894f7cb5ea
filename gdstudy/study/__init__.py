"""What is asked: the keys of a study, their values, and the facts of what they name.

Imports neither torch, pandas nor scikit-learn; computes nothing. All that is said to the user goes through `console`."""
