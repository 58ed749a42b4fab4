"""The command line ``v1registry``: one module for each group of commands."""
