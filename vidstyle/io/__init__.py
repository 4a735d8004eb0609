"""Video and image files: probing, decoding, encoding, muxing and resumable output."""

# Before PyAV anywhere: both wheels bring libraries of X11, and with PyAV's loaded first OpenCV
# never returns from opening a window.
import cv2  # noqa: F401
