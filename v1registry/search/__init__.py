"""Search over repositories, and its indexes."""
