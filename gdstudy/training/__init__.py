"""Training by real steps, of many cells at once.

No step of it comes from a closed form: what it reaches is compared with one in `experiment` (and, for its users, by
`gradient_descent`, whose states say how far the limit is)."""
