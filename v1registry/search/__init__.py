"""Search over the repositories."""
