"""Maintenance of a storage: looks at images, removal, and a search for damaged data."""
