"""Rows, splits and feature maps, and the randomness of a study's data and starts (no global seeding).

Knows nothing of what is computed from them."""
