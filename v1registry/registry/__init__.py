"""The Registry API: images, layers, sums, tags and repositories."""
