"""A mirror of another registry: what is missing here is fetched when it is pulled (distribution.md 8)."""
