"""Video and image files: probing, decoding, encoding, muxing and resumable output."""
