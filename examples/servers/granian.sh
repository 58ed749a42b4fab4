#!/bin/sh
# granian with the registry of examples/wsgi.py. This is what "v1registry serve" uses, which sets it up by itself.
#
# From the project's folder:
#
#     V1REGISTRY_STORAGE=file:///srv/registry sh examples/servers/granian.sh 5000

# Threads: an upload keeps one busy for as long as the client takes.
exec granian --interface wsgi --http 1 --host 127.0.0.1 --port "$1" \
    --workers 2 --blocking-threads 256 --workers-kill-timeout 10 --working-dir examples wsgi:application
