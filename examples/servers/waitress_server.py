"""waitress with the registry of examples/wsgi.py.

waitress reads the whole request before it calls the application, so TMPDIR needs space for the layers that
are being sent. Its default limit of 1 GiB is too small for some layers.

From the project's folder:

    V1REGISTRY_STORAGE=file:///srv/registry python examples/servers/waitress_server.py 127.0.0.1:5000
"""

import sys
from pathlib import Path

from waitress import serve

sys.path.insert(0, str(Path(__file__).parent.parent))

from wsgi import application

serve(application, listen=sys.argv[1], threads=32, max_request_body_size=64 << 30)
