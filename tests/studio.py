"""A live session with a control page, painted frame by frame by the test; and a headless browser."""

import shutil
import threading
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from conftest import FAST_SETTINGS, need, scene

from vidstyle import Frame, Report, Settings, Style, Stylizer
from vidstyle.live.session import Session
from vidstyle.live.startup import LiveOptions
from vidstyle.live.web.address import listen
from vidstyle.live.web.server import Page

QUICK = Settings(working_size=64, initial_steps=2, steps=1, **FAST_SETTINGS)
SECONDS = 20
"""Seconds to wait for what happens in another thread; on a busy machine it may take long."""


class Studio:
    """A session with a page, and somebody who paints one frame after the other."""

    def __init__(self, page, camera, features, style):
        self.page, self.frames = page, 0
        self.stylizer = Stylizer(features, style, QUICK)
        styles = [("stripes", style), ("scene", Style.from_images([scene()], features))]
        self.session = Session(
            LiveOptions(fade_seconds=0.0), camera, self.stylizer, styles, screens=[page]
        )

    def paint(self):
        self.frames += 1
        frame = Frame(scene(self.frames / 25), Fraction(self.frames, 25))
        painting = self.stylizer(frame)
        self.session(
            self.stylizer,
            Report(self.frames, source=frame, frame=painting, iterations=self.stylizer.iterations),
        )
        return painting

    @contextmanager
    def painting(self, pause=0.05):
        """Frames are painted in a thread, as long as the block lasts, with so many seconds between them."""
        done = threading.Event()

        def paint():
            while not done.wait(pause):
                self.paint()

        painter = threading.Thread(target=paint)
        painter.start()
        try:
            yield self
        finally:
            done.set()
            painter.join()


@contextmanager
def opened_studio(camera, features, style, address="127.0.0.1:0", allowed=()):
    made = Studio(Page(listen(address), allowed), camera, features, style)
    try:
        yield made
    finally:
        made.session.close()
        assert not made.page._thread.is_alive()


@contextmanager
def browser(*flags):
    """A headless Chromium, or a skipped test."""
    names = (("chromium", "google-chrome"), ("chromedriver",))
    found = [next(filter(None, map(shutil.which, each)), None) for each in names]
    need(
        None if all(found) else "no Chromium with its chromedriver here", "VIDSTYLE_REQUIRE_BROWSER"
    )
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    quiet = (
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
    )
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--window-size=1280,900",
        *quiet,
        *flags,
    ):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(found[1]))
    driver.set_page_load_timeout(SECONDS)
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def other_site(html):
    """The address of another site's page, by the name localhost."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *given):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
