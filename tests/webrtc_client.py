"""A stand-in for a browser: an aiortc connection whose camera shows given images."""

import asyncio
import threading
import time
from fractions import Fraction

import aiortc
import av
import httpx
import numpy as np
from aiortc.mediastreams import MediaStreamError
from conftest import until


class CameraTrack(aiortc.MediaStreamTrack):
    """Sends ``draw(seconds)``, (H, W, 3) uint8, so many times per second."""

    kind = "video"

    def __init__(self, draw, rate):
        super().__init__()
        self._draw, self._rate, self._number, self._start = draw, rate, 0, time.monotonic()

    async def recv(self):
        if self.readyState != "live":
            raise MediaStreamError
        due = self._start + self._number / self._rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        frame = av.VideoFrame.from_ndarray(self._draw(self._number / self._rate), "rgb24")
        frame.pts, frame.time_base = round(90_000 * self._number / self._rate), Fraction(1, 90_000)
        self._number += 1
        return frame


class MicrophoneTrack(aiortc.MediaStreamTrack):
    """Sends ``play(seconds)``, the level from 0 to 1 of a tone, in packets of 20 ms."""

    kind = "audio"

    def __init__(self, play):
        super().__init__()
        self._play, self._number, self._start = play, 0, time.monotonic()

    async def recv(self):
        if self.readyState != "live":
            raise MediaStreamError
        await asyncio.sleep(max(0.0, self._start + self._number / 50 - time.monotonic()))
        times = np.arange(960) / 48_000
        tone = np.sin(2 * np.pi * 1000 * times) * self._play(self._number / 50) * 20_000
        frame = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 960 * self._number, Fraction(1, 48_000)
        self._number += 1
        return frame


class Client:
    """A browser whose connection runs on a thread of its own.

    ``images`` and ``sounds`` are what came back, with the times of ``time.monotonic``.
    """

    def __init__(self, url, draw, rate=30, play=None, name="phone"):
        self._url, self._name = url, name
        self._draw, self._rate, self._play = draw, rate, play
        self.images, self.sounds, self.keep = [], [], 200
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.connection = None

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    def connect(self):
        """Make an offer; returns the HTTP answer."""
        return self.run(self._connect())

    async def _connect(self):
        self.connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        self.connection.add_listener("track", self._take)
        self.connection.addTrack(CameraTrack(self._draw, self._rate))
        if self._play:
            self.connection.addTrack(MicrophoneTrack(self._play))
        await self.connection.setLocalDescription(await self.connection.createOffer())
        async with httpx.AsyncClient(timeout=20, verify=False) as client:
            address = self._url.replace("/?", "/camera?") if "?" in self._url else self._url + "camera"
            answer = await client.post(
                address,
                content=self.connection.localDescription.sdp,
                params={"browser": self._name, **httpx.URL(self._url).params},
            )
        if answer.status_code == 201:
            await self.connection.setRemoteDescription(
                aiortc.RTCSessionDescription(answer.text, "answer")
            )
        return answer

    def _take(self, track):
        self._receiver = asyncio.ensure_future(self._receive(track))

    async def _receive(self, track):
        kept = self.images if track.kind == "video" else self.sounds
        try:
            while True:
                frame = await track.recv()
                kept.append((time.monotonic(), frame))
                del kept[: -self.keep]
        except MediaStreamError:
            pass

    def image(self):
        """The newest image, (H, W, 3) uint8; None before the first."""
        return self.images[-1][1].to_ndarray(format="rgb24") if self.images else None

    def wait_until(self, what):
        """Wait until an image satisfies a condition, and return the image."""
        until(lambda: self.image() is not None and what(self.image()))
        return self.image()

    def hang_up(self):
        if self.connection is not None:
            self.run(self.connection.close())

    def close(self):
        self.hang_up()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
