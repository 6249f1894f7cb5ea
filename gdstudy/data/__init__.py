"""Rows, splits and feature maps, and all randomness (named streams, no global seeding).

Knows nothing of what is computed from them."""
