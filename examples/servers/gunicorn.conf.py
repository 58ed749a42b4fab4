"""gunicorn with the registry of examples/wsgi.py.

From the project's folder:

    V1REGISTRY_STORAGE=file:///srv/registry gunicorn --chdir examples --config examples/servers/gunicorn.conf.py --bind 127.0.0.1:5000 wsgi
"""

# Threads: an upload keeps one busy for as long as the client takes.
worker_class = "gthread"
workers = 2
threads = 32

# Seconds without a sign of life of a worker; with threads, uploads do not count against it.
timeout = 60
