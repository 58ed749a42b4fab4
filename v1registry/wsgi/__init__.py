"""HTTP over WSGI: requests, answers, routing."""
