"""gunicorn with the registry of examples/wsgi.py.

From the project's folder:

    V1REGISTRY_STORAGE=file:///srv/registry gunicorn --chdir examples \
        --config examples/servers/gunicorn.conf.py --bind 127.0.0.1:5000 wsgi
"""

# Threads: each upload occupies one until the client has sent it.
worker_class = "gthread"
workers = 2
threads = 32

# Seconds until a worker that does not respond is restarted; with threads, long uploads do not count.
timeout = 60
