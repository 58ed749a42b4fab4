"""The requests of clients: how they are recorded, found and expected."""
