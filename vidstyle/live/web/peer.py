"""The WebRTC connection to one browser: its camera comes in, the painting goes out.

This is the only module that imports aiortc. It needs the optional dependencies
``vidstyle[webrtc]``. The browser makes the offer. Only addresses of this machine are offered to it,
and no other server is asked (no STUN, no TURN): the connection works within a network.
"""

import asyncio
import logging
import statistics
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from fractions import Fraction
from functools import partial
from typing import Any

import av
from av.video.reformatter import VideoReformatter

from ...errors import DeviceError
from ...io.color import color_of, from_rgb, to_rgb
from ...io.container import codec_threads
from ...io.frame import Image, rgb_8_bits
from ...io.stream_info import BT709, LIMITED, ColorInfo
from ..browser_camera import BrowserCamera
from ..timing import RECENT_FRAMES

REMEDY = "pip install 'vidstyle[webrtc]'"

try:
    import aiortc
    from aiortc.jitterbuffer import JitterBuffer, JitterFrame
    from aiortc.mediastreams import MediaStreamError
except ImportError:
    raise DeviceError(f"the camera of a browser needs aiortc: {REMEDY}") from None

for _name in ("aiortc", "aioice"):  # what ends a connection is reported by the session
    logging.getLogger(_name).addHandler(logging.NullHandler())

CONNECT_SECONDS = 15.0
"""Time limit in seconds for the connection, after the answer."""

REPEAT_SECONDS = 1.0
"""Seconds after which the last image is sent again: a browser that lost a packet waits for one."""

CLOCK_RATE = 90_000
"""Units of a second in which RTP counts the time of images."""

MAX_SOUND_SECONDS = 2.0
"""Sound that is older is dropped."""

SOUND_INTERVAL_SECONDS = 0.02
"""Duration of the sound in one packet."""

AUDIO_LINE = "\nm=audio "
"""Begins the part of an offer that is about sound."""

VIDEO_PACKETS, SOUND_PACKETS = 512, 16
"""Number of packets that may wait for an earlier one, powers of 2."""

SOUND_WAIT_PACKETS = 2
"""Number of packets by which sound waits before it is decoded, since packets do not come at exact
intervals. aiortc's own number is 4, by which sound would be later than many a painting."""

CODECS = "video/H264", "video/VP8"
"""Codecs in both directions, the preferred one first."""

COLOR = ColorInfo(BT709, LIMITED, BT709, BT709)
"""Colours of the images sent: Chromium takes images without tags for BT.709, of every size."""


class PromptBuffer(JitterBuffer):
    """Completes an image with its last packet, which has RTP's marker bit (RFC 6184, RFC 7741).

    aiortc's own buffer waits for the first packet of the next image, which is a frame interval of
    latency.
    """

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        packets: list[Any] = []
        for offset in range(self.capacity):
            packet: Any = self._packets[((self._origin or 0) + offset) % self.capacity]
            if packet is None or packet.timestamp != (packets or [packet])[0].timestamp:
                break
            if not packets and not packet._data:  # padding after the last packet of an image
                self.remove(1)
                return self._remove_frame(sequence_number)
            packets.append(packet)
            if packet.marker:
                self.remove(len(packets))
                return JitterFrame(b"".join(each._data for each in packets), packet.timestamp)
        return super()._remove_frame(sequence_number)


def replace_buffer(receiver: Any, buffer: JitterBuffer) -> None:
    """Give a receiver another buffer, where it has the attribute of aiortc 1.16."""
    name = "_RTCRtpReceiver__jitter_buffer"
    if isinstance(getattr(receiver, name, None), JitterBuffer):
        setattr(receiver, name, buffer)


class PaintingTrack(aiortc.MediaStreamTrack):
    """The images of a session. The newest one is sent as soon as the encoder is free."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._image: Image | None = None
        self._shown = 0.0  # when it was, in seconds of time.monotonic
        self._sent: Image | None = None
        self._since: float | None = None  # when the image in the encoder was shown, if it is new
        self._delays: deque[float] = deque(maxlen=RECENT_FRAMES)
        self._new_image = asyncio.Event()
        self._server_loop = asyncio.get_running_loop()
        self._start, self._reformatter = time.monotonic(), VideoReformatter()

    def show(self, image: Image) -> None:
        """Send (H, W, 3 or 4) RGB from now on. Thread-safe, does not block."""
        self._image, self._shown = image, time.monotonic()
        with suppress(RuntimeError):  # the loop has ended
            self._server_loop.call_soon_threadsafe(self._new_image.set)

    @property
    def delay(self) -> float:
        """Median time in seconds from ``show`` to the sending of the recent images."""
        return statistics.median(self._delays) if self._delays else 0.0

    async def recv(self) -> av.VideoFrame:
        """Wait for the next image. aiortc calls this method when it has sent the last one.

        Raises:
            MediaStreamError: the track was stopped.
        """
        if self._since is not None:
            self._delays.append(time.monotonic() - self._since)
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._new_image.wait(), REPEAT_SECONDS)
            if self.readyState != "live":
                raise MediaStreamError
            self._new_image.clear()
            image, shown = self._image, self._shown
            if image is not None:
                break
        self._since, self._sent = None if image is self._sent else shown, image
        # On this thread: a change of threads takes longer than the conversion.
        frame = self._converted(image)
        frame.pts = round((time.monotonic() - self._start) * CLOCK_RATE)
        frame.time_base = Fraction(1, CLOCK_RATE)
        return frame

    def _converted(self, image: Image) -> av.VideoFrame:
        even = rgb_8_bits(image)[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
        return from_rgb(even, "yuv420p", COLOR, self._reformatter)


class SoundTrack(aiortc.MediaStreamTrack):
    """The sound of the browser's microphone, sent back later.

    Args:
        delay: returns the seconds by which it is late.
    """

    kind = "audio"

    def __init__(self, delay: Callable[[], float]) -> None:
        super().__init__()
        limit = round(MAX_SOUND_SECONDS / SOUND_INTERVAL_SECONDS)
        self._delay, self._new = delay, asyncio.Event()
        self._sounds: deque[tuple[Any, float]] = deque(maxlen=limit)

    def put(self, frame: Any, now: float) -> None:
        """Take sound that arrived at a time, in seconds of ``time.monotonic``."""
        self._sounds.append((frame, now))
        self._new.set()

    async def recv(self) -> Any:
        """Wait until sound is due.

        Raises:
            MediaStreamError: the track was stopped.
        """
        while not self._sounds:
            self._new.clear()
            await self._new.wait()
        frame, arrived = self._sounds.popleft()
        await asyncio.sleep(max(0.0, arrived + self._delay() - time.monotonic()))
        if self.readyState != "live":
            raise MediaStreamError
        return frame


class Peer:
    """The connection to one browser. All methods but ``show`` run on one event loop.

    ``waiting`` is True until the connection stands; then the camera gets the browser's frames.

    Args:
        browser: a name by which the browser is known again.
        camera: receives the browser's frames.
        latency: returns the seconds from the arrival of a frame to the display of its painting.
        ended: is called when the connection has ended, unless by ``close``.
    """

    def __init__(
        self,
        browser: str,
        camera: BrowserCamera,
        latency: Callable[[], float],
        ended: Callable[["Peer"], None],
    ) -> None:
        self.browser, self._camera, self._ended = browser, camera, ended
        self.waiting = True
        self._painting = PaintingTrack()
        self._sound = SoundTrack(
            lambda: latency() + self.send_delay - SOUND_WAIT_PACKETS * SOUND_INTERVAL_SECONDS
        )
        self._reformatter = VideoReformatter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        self._connection.add_listener("connectionstatechange", self._follow_state)
        self._connection.add_listener("track", self._take_track)
        video = self._connection.addTransceiver(self._painting, "sendrecv")
        video.setCodecPreferences(_preferred_codecs())
        replace_buffer(video.receiver, PromptBuffer(VIDEO_PACKETS, is_video=True))
        codec_threads.__enter__()  # left by `close`

    async def answer(self, offer: str) -> str:
        """Return the answer (SDP) to a browser's offer (SDP).

        Raises:
            ValueError: the offer is not valid, or has no video. ``close`` is still to be called.
        """
        if AUDIO_LINE in offer:
            sound = self._connection.addTransceiver(self._sound, "sendrecv")
            replace_buffer(sound.receiver, JitterBuffer(SOUND_PACKETS, SOUND_WAIT_PACKETS))
        try:
            await self._connection.setRemoteDescription(
                aiortc.RTCSessionDescription(offer, "offer")
            )
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except Exception as error:  # noqa: BLE001 (aiortc does not say which errors a wrong SDP has)
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise ValueError(f"the offer is not valid ({reason}): send SDP of a browser") from None
        if not any(track.kind == "video" for track in self._received_tracks()):
            raise ValueError("the offer has no video in it: send that of a camera")
        self._start(self._give_up())
        return str(self._connection.localDescription.sdp)

    def show(self, image: Image) -> None:
        """Send (H, W, 3 or 4) RGB from now on. Thread-safe, does not block."""
        self._painting.show(image)

    @property
    def send_delay(self) -> float:
        """Median time in seconds from ``show`` to the sending of the recent images."""
        return self._painting.delay

    async def close(self) -> None:
        """End the connection. Further calls have no effect."""
        if self._closed:
            return
        self._closed = True
        self._camera.disconnect()
        for task in self._tasks:
            task.cancel()
        self._painting.stop()
        self._sound.stop()
        try:
            await self._connection.close()
        finally:
            codec_threads.__exit__()

    def _received_tracks(self) -> list[Any]:
        receivers = self._connection.getReceivers()
        return [receiver.track for receiver in receivers if receiver.track is not None]

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _follow_state(self) -> None:
        state = self._connection.connectionState
        if state == "connected":
            self.waiting = False
            self._camera.connect()
        elif state in ("failed", "closed") and not self._closed:
            self._ended(self)

    async def _give_up(self) -> None:
        await asyncio.sleep(CONNECT_SECONDS)
        if self.waiting:
            self._ended(self)

    def _take_track(self, track: Any) -> None:
        self._start(self._receive_video(track) if track.kind == "video" else self._receive(track))

    async def _receive_video(self, track: Any) -> None:
        """Hand all frames to the camera, which keeps the newest."""
        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                read = partial(self._read, frame)
                self._camera.put((frame.width, frame.height), read, time.monotonic())

    async def _receive(self, track: Any) -> None:
        with suppress(MediaStreamError):
            while True:
                self._sound.put(await track.recv(), time.monotonic())

    def _read(self, frame: Any, size: tuple[int, int]) -> Any:
        return rgb_8_bits(to_rgb(frame, size, color_of(frame), self._reformatter))


def _preferred_codecs() -> list[Any]:
    """``CODECS`` in this order, with their retransmission (RTX)."""
    known = aiortc.RTCRtpSender.getCapabilities("video").codecs
    chosen = [codec for name in CODECS for codec in known if codec.mimeType == name]
    return [*chosen, *(codec for codec in known if codec.mimeType == "video/rtx")]
