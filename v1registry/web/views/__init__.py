"""View models: what the pages show of repositories, images and layers. They know no requests."""
