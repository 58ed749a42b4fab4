#!/bin/sh
# granian with the registry of examples/wsgi.py. It sends header names in lower case, and lets headers such as X_Name replace
# X-Name: put it behind a proxy that drops headers with underscores, such as nginx.
#
# From the project's folder:
#
#     V1REGISTRY_STORAGE=file:///srv/registry sh examples/servers/granian.sh 5000

# Threads: each upload occupies one until the client has sent it.
exec granian --interface wsgi --http 1 --host 127.0.0.1 --port "$1" \
    --workers 2 --blocking-threads 256 --workers-kill-timeout 10 --working-dir examples wsgi:application
