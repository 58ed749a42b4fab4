"""The command ``v1registry``."""
