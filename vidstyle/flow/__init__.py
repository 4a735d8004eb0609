"""Optical flow, occlusion masks, camera motion and cut detection."""
