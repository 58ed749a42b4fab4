"""The application behind the registry of paste.ini."""


def make_site(global_conf, **settings):
    return site


def site(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello from PasteDeploy"]
