"""The settings of a live session, where they differ from those of a preset."""

from dataclasses import replace

from ..settings import PRESETS, Settings

LIVE_INITIAL_STEPS = 6
"""Steps of the first frame: few, so that the camera appears at once and the style develops on it.
"""

LIVE_CONTENT_SHARE = 0.25
"""Share of the preset's content weight. It grows in small images so that faces stay legible; here
faces are emphasised by themselves, and the rest may have more strokes."""


def live_settings(preset: str = "draft") -> Settings:
    """The settings of a preset, changed for a session."""
    # Matching of patches takes up to a second, and would delay single frames.
    settings = PRESETS[preset]
    return replace(
        settings,
        initial_steps=LIVE_INITIAL_STEPS,
        flow="dis",
        content_weight=LIVE_CONTENT_SHARE * settings.content_weight,
    )
