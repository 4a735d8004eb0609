"""Optical flow, occlusion masks, camera motion and shot boundary detection."""
