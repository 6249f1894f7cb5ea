"""Solutions, exact iterates and the factors of the divergence, from the SVD.

Takes no step of training and imports nothing that does."""
