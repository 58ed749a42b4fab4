"""The client of the distribution API, ``/v2/``.

``tokens`` has the authentication, ``repository`` the calls on a repository, ``upload`` sends blobs,
``content`` makes them from archives and layouts, ``push`` and ``pull`` put everything together.
"""
