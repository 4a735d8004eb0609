"""Feature extractors: a VGG-shaped network and a fixed oriented filter bank."""
