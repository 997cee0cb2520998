"""`kubectl queueworker doctor`: facts are gathered at the edge, checks judge them, purely."""
