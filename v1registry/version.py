"""The version of the package: digits and dots first, as engines before 0.11 want it in every ping."""

__version__ = "0.1.0"
