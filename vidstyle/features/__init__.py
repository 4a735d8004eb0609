"""Feature extractors: a VGG-shaped network and a fixed bank of oriented filters."""
