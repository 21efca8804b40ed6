"""Events on disk: folders with locks, segments, and what takes a person out of them."""
