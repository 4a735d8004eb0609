"""A stand-in for a browser: an aiortc connection whose camera shows given images."""

import asyncio
import ssl
import threading
import time
import urllib.error
import urllib.request
from fractions import Fraction
from urllib.parse import urlsplit

import aiortc
import av
import numpy as np
from aiortc.mediastreams import MediaStreamError

from vidstyle.live.web.peer import VIDEO_PACKETS, PromptBuffer, replace_buffer

SECONDS = 20
"""Time limit in seconds for events on other threads; a busy machine may need long."""

SOUND_WAIT_SECONDS = 0.08
"""Seconds by which aiortc's buffer delays the sound that comes back; browsers keep it in step."""

CLOCK_RATE, SOUND_RATE, SOUND_SAMPLES = 90_000, 48_000, 960
"""Units of a second in which images are timed; samples of sound per second, and per packet."""


class CameraTrack(aiortc.MediaStreamTrack):
    """Sends ``draw(seconds)``, (H, W, 3) uint8, at a rate, and nothing while it is silent."""

    kind = "video"

    def __init__(self, draw, rate, is_silent):
        super().__init__()
        self._draw, self._rate, self._is_silent = draw, rate, is_silent
        self._number, self._start = 0, time.monotonic()

    async def recv(self):
        """The next image, in time."""
        if self.readyState != "live":
            raise MediaStreamError
        while self._is_silent():
            await asyncio.sleep(0.05)
        seconds = self._number / self._rate
        await asyncio.sleep(max(0.0, self._start + seconds - time.monotonic()))
        frame = av.VideoFrame.from_ndarray(self._draw(seconds), "rgb24")
        frame.pts, frame.time_base = round(CLOCK_RATE * seconds), Fraction(1, CLOCK_RATE)
        self._number += 1
        return frame


class MicrophoneTrack(aiortc.MediaStreamTrack):
    """Sends a tone whose level is ``play(seconds)``, from 0 to 1."""

    kind = "audio"

    def __init__(self, play):
        super().__init__()
        self._play, self._number, self._start = play, 0, time.monotonic()

    async def recv(self):
        """The next 20 ms, in time."""
        if self.readyState != "live":
            raise MediaStreamError
        seconds = self._number * SOUND_SAMPLES / SOUND_RATE
        await asyncio.sleep(max(0.0, self._start + seconds - time.monotonic()))
        tone = np.sin(2 * np.pi * 1000 * np.arange(SOUND_SAMPLES) / SOUND_RATE)
        samples = (20_000 * self._play(seconds) * tone).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
        frame.pts, frame.time_base = SOUND_SAMPLES * self._number, Fraction(1, SOUND_RATE)
        frame.sample_rate = SOUND_RATE
        self._number += 1
        return frame


class Client:
    """A browser whose connection runs on a thread of its own.

    It takes an image with its last packet, as browsers do and aiortc alone does not.

    ``images`` and ``sounds`` are pairs of (seconds of ``time.monotonic``, PyAV's frame) of the last
    frames that came back; ``take`` is called with each pair too. ``silent`` stops the camera's
    frames, as a phone does that has lost its network.

    Args:
        url: of the page.
        draw: returns the camera's image at a time in seconds: (H, W, 3) uint8.
        rate: images per second.
        play: returns the level of the microphone at a time; None: there is no microphone.
        name: by which vidstyle knows the browser again.
    """

    def __init__(self, url, draw, rate=30, play=None, name="phone"):
        self._url, self._name = urlsplit(url), name
        self._draw, self._rate, self._play = draw, rate, play
        self.images, self.sounds, self._kept = [], [], 200
        self.take = lambda now, frame: None
        self.connection, self.silent = None, False
        self._connections, self._receiving = [], []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, coroutine):
        """Run a coroutine on the thread of the connection."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(SECONDS)

    def connect(self):
        """Make an offer; returns (HTTP status, text of the answer)."""
        return self.run(self._connect())

    async def _connect(self):
        self.connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        self._connections.append(self.connection)
        self.connection.add_listener("track", self._receive)
        self.connection.addTrack(CameraTrack(self._draw, self._rate, lambda: self.silent))
        receiver = self.connection.getTransceivers()[0].receiver
        replace_buffer(receiver, PromptBuffer(VIDEO_PACKETS, is_video=True))
        if self._play:
            self.connection.addTrack(MicrophoneTrack(self._play))
        await self.connection.setLocalDescription(await self.connection.createOffer())
        offer = self.connection.localDescription.sdp
        status, text = await asyncio.to_thread(self.post, offer.encode())
        if status == 201:
            answer = aiortc.RTCSessionDescription(text, "answer")
            await self.connection.setRemoteDescription(answer)
        return status, text

    def post(self, offer):
        """Send an offer; returns (HTTP status, text of the answer)."""
        query = "&".join(filter(None, [self._url.query, f"browser={self._name}"]))
        address = self._url._replace(path="/camera", query=query).geturl()
        request = urllib.request.Request(address, offer, method="POST")
        context = ssl._create_unverified_context() if self._url.scheme == "https" else None
        try:
            with urllib.request.urlopen(request, timeout=SECONDS, context=context) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def _receive(self, track):
        self._receiving.append(asyncio.ensure_future(self._keep(track)))

    async def _keep(self, track):
        kept = self.images if track.kind == "video" else self.sounds
        try:
            while True:
                frame = await track.recv()
                kept.append((time.monotonic(), frame))
                del kept[: -self._kept]
                self.take(*kept[-1])
        except MediaStreamError:
            pass

    def image(self):
        """The newest image that came back, (H, W, 3) uint8; None before the first."""
        return self.images[-1][1].to_ndarray(format="rgb24") if self.images else None

    def hang_up(self):
        """Close all connections."""
        self.run(self._hang_up())

    async def _hang_up(self):
        await asyncio.gather(*(each.close() for each in self._connections))
        for task in self._receiving:  # tracks of a connection that was never made do not end
            task.cancel()
        await asyncio.gather(*self._receiving, return_exceptions=True)

    def close(self):
        """Close all connections, and end the thread."""
        self.hang_up()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
