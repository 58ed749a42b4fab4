"""View models: what the pages show of repositories, images and layers. They know neither requests nor HTML."""
