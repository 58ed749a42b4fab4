"""A Flask application behind a registry: /v1/ is the registry's, all other paths are Flask's.

From the project's folder:

    V1REGISTRY_STORAGE=file:///srv/registry flask --app examples/flask_app run --port 5000

Then run ``docker push localhost:5000/me/image`` and open http://localhost:5000/.
"""

from flask import Flask

from v1registry import Registry

app = Flask(__name__)


@app.get("/")
def home() -> str:
    return "Hello from Flask"


registry = Registry.from_environment()
app.wsgi_app = registry.in_front_of(app.wsgi_app)
