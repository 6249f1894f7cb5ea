"""What is asked: the keys of a study, their values, and the facts of what they name.

Imports neither torch, pandas nor scikit-learn, and loads, trains and writes nothing."""
