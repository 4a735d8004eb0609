"""The settings of a live session, where they differ from those of a preset."""

from dataclasses import replace

from ..settings import PRESETS, Settings

LIVE_INITIAL_STEPS = 6
"""Steps of the first frame: few, so that the camera appears at once and the style develops on it.
"""

LIVE_CONTENT_WEIGHT = 0.06
"""Content weight of a session unless the user gives one: half more than ``draft`` has. At the small
sizes of a session broad strokes would cover faces."""


def live_settings(preset: str = "draft") -> Settings:
    """The settings of a preset, changed for a session."""
    settings = PRESETS[preset]
    weight = max(settings.content_weight, LIVE_CONTENT_WEIGHT)
    return replace(settings, initial_steps=LIVE_INITIAL_STEPS, content_weight=weight)
