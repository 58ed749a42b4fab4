"""Today's image formats: save archives of the engine, and the conversion between v1 chains and image configs.

``images`` says what an image of a chain is, ``convert`` turns chains into configs and back, ``load`` reads save
archives of every kind, ``save`` writes them. None of them knows HTTP or a storage.
"""
