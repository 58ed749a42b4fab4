"""What is inside a layer: pure functions over bytes, without HTTP or storage."""
