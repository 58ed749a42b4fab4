"""The rows of the table of settings: one module for each part of the application.

:mod:`v1registry.settings` joins them. Each module has a dataclass with the rows, and the same keys as typed
keyword arguments.
"""
