"""Training by real steps, of many cells at once.

Knows no closed form: what it reaches is compared with one in `experiment` alone."""
