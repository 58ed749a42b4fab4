"""Who is asking, and what may they do."""

from .open import open_auth

__all__ = ["open_auth"]
