#!/bin/sh
# granian with the registry of examples/wsgi.py.
#
# granian writes header names in lower case, and X_Name replaces X-Name. Use it behind a proxy that drops headers with
# underscores, as nginx does.
#
# From the project's folder:
#
#     V1REGISTRY_STORAGE=file:///srv/registry sh examples/servers/granian.sh 5000

# Threads: each upload occupies one until the client has sent it.
exec granian --interface wsgi --http 1 --host 127.0.0.1 --port "$1" \
    --workers 2 --blocking-threads 256 --workers-kill-timeout 10 --working-dir examples wsgi:application
