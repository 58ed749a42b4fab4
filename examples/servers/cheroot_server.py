"""cheroot with the registry of examples/wsgi.py.

From the project's folder:

    V1REGISTRY_STORAGE=file:///srv/registry python examples/servers/cheroot_server.py 127.0.0.1 5000
"""

import sys
from pathlib import Path

from cheroot.wsgi import Server

sys.path.insert(0, str(Path(__file__).parent.parent))

from wsgi import application

host, port = sys.argv[1:]
server = Server((host, int(port)), application, numthreads=32)
try:
    server.start()
finally:
    server.stop()
