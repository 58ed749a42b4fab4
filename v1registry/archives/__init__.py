"""Today's image formats: archives of ``docker save``, and the conversion between v1 chains and image configs.

``images`` defines an image of a chain, ``convert`` converts chains to configs and back, ``load`` reads save
archives of every kind, ``save`` writes them. All of it is independent of HTTP and storages.
"""
