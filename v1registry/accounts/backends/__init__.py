"""The places in which users can be kept."""
