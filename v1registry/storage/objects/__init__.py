"""A storage in an object store. It needs the extra ``s3``."""

from .groups import Groups
from .storage import DEFAULT_GROUPS, ObjectStorage

__all__ = ["DEFAULT_GROUPS", "Groups", "ObjectStorage"]
