"""The clips, styles and masks of a studio on disk."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from ..errors import InputError, OutputError
from ..inputs import CLIP_ENDINGS
from ..io.files import fsync_path, write_file
from ..io.images import bundled_styles
from .items import (
    Clip,
    ClipMask,
    StyleImage,
    Upload,
    begin_upload,
    clean_name,
    load_items,
    new_id,
    remove_item,
    write_item,
)
from .probe import describe, describe_mask, ending_of

MASKS = "masks"
"""Name of the folder of the masks of a clip, in the clip's folder."""


class Library:
    """Clips, their masks, and styles in a folder.

    ``clips/ID/NAME.ext`` has ``clip.json`` beside it, ``styles/ID/NAME.ext`` has ``style.json``,
    and ``clips/ID/masks/ID/NAME.ext`` has ``mask.json``. Folders without such a file are of
    unfinished uploads, and are removed.

    Its methods may be called by several threads. ``version`` grows with every change.

    Args:
        folder: is created where it does not exist.

    Raises:
        OutputError: the folder cannot be created or read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder = folder.absolute()
        self._clip_folder, self._style_folder = folder / "clips", folder / "styles"
        self._lock, self._decoding, self.version = Lock(), Lock(), 0
        try:
            for each in (self._clip_folder, self._style_folder):
                each.mkdir(parents=True, exist_ok=True)
            self._clips = load_items(self._clip_folder, "clip.json", Clip)
            self._styles = load_items(self._style_folder, "style.json", StyleImage)
            self._masks: dict[str, ClipMask] = {}
            for clip in self._clips:
                masks = self._mask_folder(clip)
                if masks.is_dir():
                    found = load_items(masks, "mask.json", ClipMask)
                    self._masks |= {each.id: each for each in found.values() if each.clip == clip}
        except OSError as error:
            reason = error.strerror
            raise OutputError(
                f"{folder} cannot be used ({reason}): choose another with --folder"
            ) from None

    @property
    def clips(self) -> list[Clip]:
        """All clips, in order of their names."""
        with self._lock:
            return sorted(self._clips.values(), key=lambda clip: (clip.name.lower(), clip.id))

    @property
    def styles(self) -> list[StyleImage]:
        """The styles that were uploaded, in order of their names, then the bundled ones."""
        with self._lock:
            own = sorted(self._styles.values(), key=lambda style: (style.name.lower(), style.id))
        return [*own, *(StyleImage(name, name, True) for name in bundled_styles())]

    @property
    def masks(self) -> list[ClipMask]:
        """The masks of all clips, in order of their names."""
        with self._lock:
            return sorted(self._masks.values(), key=lambda mask: (mask.name.lower(), mask.id))

    def public(self) -> dict[str, Any]:
        """Clips, styles and masks as the page sees them."""
        return {
            "clips": [vars(clip) for clip in self.clips],
            "styles": [vars(style) for style in self.styles],
            "masks": [vars(mask) for mask in self.masks],
        }

    def clip(self, id: str) -> Clip | None:
        """The clip of an id, if there is one."""
        return self._clips.get(id)

    def style(self, id: str) -> StyleImage | None:
        """The style of an id, if there is one."""
        return self._styles.get(id) or next((each for each in self.styles if each.id == id), None)

    def mask(self, id: str) -> ClipMask | None:
        """The mask of an id, if there is one."""
        return self._masks.get(id)

    def clip_path(self, clip: Clip) -> Path:
        """The file of a clip."""
        return self._clip_folder / clip.id / clip.name

    def style_path(self, style: StyleImage) -> Path:
        """The file of a style."""
        if style.bundled:
            return bundled_styles()[style.name]
        return self._style_folder / style.id / style.name

    def mask_path(self, mask: ClipMask) -> Path:
        """The file of a mask."""
        return self._mask_folder(mask.clip) / mask.id / mask.name

    def begin_clip(self, name: str) -> Upload:
        """Create the folder of a clip, whose file is then to be written.

        Raises:
            OSError: it cannot be created.
        """
        return begin_upload(self._clip_folder, name, "clip")

    def finish_clip(self, upload: Upload) -> Clip:
        """Check a file that was written, and keep it; one that is no clip is removed.

        Raises:
            InputError: it is neither a clip nor a picture, or too large.
            OSError: its description cannot be written.
        """
        try:
            with self._decoding:  # one at a time, which limits the memory
                clip = describe(upload)
            fsync_path(upload.folder / clip.name)
            write_item(upload.folder / "clip.json", clip)
        except BaseException:
            upload.drop()
            raise
        with self._lock:
            self._clips[clip.id] = clip
            self.version += 1
        return clip

    def begin_mask(self, clip: Clip, name: str) -> Upload:
        """Create the folder of a mask of a clip, whose file is then to be written.

        Raises:
            OSError: it cannot be created.
        """
        folder = self._mask_folder(clip.id)
        folder.mkdir(exist_ok=True)
        return begin_upload(folder, name, "mask")

    def finish_mask(
        self,
        clip: Clip,
        upload: Upload,
        time: float = 0.0,
        carried: str = "",
        covers: Sequence[float] = (),
    ) -> ClipMask:
        """Check a mask that was written, and keep it; a file that is none is removed.

        Args:
            clip: that it belongs to.
            upload: its file.
            time, carried, covers: see ``ClipMask``.

        Raises:
            InputError: it is no clip or picture, or all black or white.
            OSError: its description cannot be written.
        """
        try:
            with self._decoding:
                mask = describe_mask(upload, clip.id, time, carried, covers)
            fsync_path(upload.folder / mask.name)
            write_item(upload.folder / "mask.json", mask)
        except BaseException:
            upload.drop()
            raise
        with self._lock:
            self._masks[mask.id] = mask
            self.version += 1
        return mask

    def keep_carried(self, mask: ClipMask, path: Path, covers: Sequence[float] = ()) -> None:
        """Keep a file of masks that was made of a drawn one; the file is moved.

        Args:
            mask: the drawn one.
            path: of the file.
            covers: see ``ClipMask``.

        Raises:
            InputError: it is no clip, or the clip that it belongs to was removed.
            OSError: it cannot be moved.
        """
        clip = self.clip(mask.clip)
        if clip is None:
            raise InputError("its clip was removed: start a new one")
        upload = self.begin_mask(clip, path.name)
        path.replace(upload.path)
        self.finish_mask(clip, upload, mask.time, mask.id, covers)

    def add_style(self, name: str, data: bytes) -> StyleImage:
        """Keep a style image, which was checked.

        Raises:
            OSError: it cannot be written; nothing is left of it.
        """
        folder = self._style_folder / new_id()
        cleaned = Path(clean_name(name, "image"))
        ending = ending_of(data[:4]) or cleaned.suffix
        if ending in CLIP_ENDINGS:  # such a name could not be that of a style
            ending = ".png"
        style = StyleImage(folder.name, cleaned.stem + ending)
        folder.mkdir()
        try:
            write_file(folder / style.name, data)
            write_item(folder / "style.json", style)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        with self._lock:
            self._styles[style.id] = style
            self.version += 1
        return style

    def remove_clip(self, id: str) -> None:
        """Remove a clip, its file and its masks."""
        with self._lock:
            self._clips.pop(id, None)
            self._masks = {key: mask for key, mask in self._masks.items() if mask.clip != id}
            self.version += 1
        remove_item(self._clip_folder / id, "clip.json")

    def remove_style(self, id: str) -> None:
        """Remove an uploaded style and its file."""
        with self._lock:
            self._styles.pop(id, None)
            self.version += 1
        remove_item(self._style_folder / id, "style.json")

    def remove_mask(self, mask: ClipMask) -> None:
        """Remove a mask and its file."""
        with self._lock:
            self._masks.pop(mask.id, None)
            self.version += 1
        remove_item(self._mask_folder(mask.clip) / mask.id, "mask.json")

    def _mask_folder(self, clip: str) -> Path:
        return self._clip_folder / clip / MASKS
