"""The settings of a live session, where they differ from those of a preset."""

from dataclasses import replace

from ..settings import PRESETS, Settings

LIVE_INITIAL_STEPS = 6
"""Steps of the first frame: few, so that the camera appears at once and the style develops on it.
"""


def live_settings(preset: str = "draft") -> Settings:
    """The settings of a preset, changed for a session."""
    # Matching of patches takes up to a second, and would delay single frames.
    return replace(PRESETS[preset], initial_steps=LIVE_INITIAL_STEPS, flow="dis")
