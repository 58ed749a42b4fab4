"""The control API of ``python -m v1registry_fakes``."""
