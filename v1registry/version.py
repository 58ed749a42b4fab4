"""The version of the package.

It begins with digits and dots, because engines before 0.11 parse it in every ping.
"""

__version__ = "0.1.0"
