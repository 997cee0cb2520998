"""Programs of the systems under test: each runs in its system's own environment."""
