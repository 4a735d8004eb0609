"""Hand-written autograd functions, each with the plain PyTorch expression that it replaces."""
