"""Our server, its peers and the limits of the machine, measured side by side: see ``compare.py``."""
