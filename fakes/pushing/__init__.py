"""How the helpers of a fake push images."""
