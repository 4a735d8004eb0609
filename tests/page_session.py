"""A live session with a control page that a test drives frame by frame; and a headless browser."""

import faulthandler
import os
import shutil
import signal
import threading
from contextlib import contextmanager, suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from conftest import FAST_SETTINGS, SECONDS, need, scene

from vidstyle import Frame, Report, Settings, Style, Stylizer
from vidstyle.live.session import Session
from vidstyle.live.startup import LiveOptions
from vidstyle.live.web.server import Page
from vidstyle.web.address import listen

QUICK = Settings(working_size=64, initial_steps=2, steps=1, **FAST_SETTINGS)

DRIVER_SECONDS = 110
"""Time limit in seconds for an answer of the browser; above the one for loading a page."""


class PageSession:
    """A session with a page, whose frames the test requests one by one."""

    def __init__(self, page, camera, features, style):
        self.page, self.frames = page, 0
        camera.area._load_people = lambda: None  # no download
        self.stylizer = Stylizer(features, style, QUICK)
        styles = [("stripes", style), ("scene", Style.from_images([scene()], features))]
        options = LiveOptions(crossfade_seconds=0.0)
        self.session = Session(options, camera, self.stylizer, styles, outputs=[page])

    def stylize_frame(self):
        self.frames += 1
        frame = Frame(scene(self.frames / 25), Fraction(self.frames, 25))
        stylized = self.stylizer(frame)
        iterations = self.stylizer.iterations
        report = Report(self.frames, source=frame, frame=stylized, iterations=iterations)
        self.session(self.stylizer, report)
        self.session.refresh()
        return stylized

    @contextmanager
    def stylizing(self, pause=0.05):
        """Stylise frames on a thread within the block, with so many seconds between them."""
        done = threading.Event()

        def stylize():
            while not done.wait(pause):
                self.stylize_frame()

        thread = threading.Thread(target=stylize)
        thread.start()
        try:
            yield self
        finally:
            done.set()
            thread.join()


@contextmanager
def open_page_session(camera, features, style, address="127.0.0.1:0", allowed=()):
    made = PageSession(Page(listen(address), allowed), camera, features, style)
    try:
        yield made
    finally:
        made.session.close()
        if made.page._running.thread.is_alive():
            faulthandler.dump_traceback()  # shows what the server waits for
        assert not made.page._running.thread.is_alive()


@contextmanager
def browser(*flags):
    """A headless Chromium; without one the test is skipped."""
    names = (("chromium", "google-chrome"), ("chromedriver",))
    found = [next(filter(None, map(shutil.which, each)), None) for each in names]
    missing = None if all(found) else "no Chromium with its chromedriver here"
    need(missing, "VIDSTYLE_REQUIRE_BROWSER")
    from selenium import webdriver
    from selenium.common.exceptions import WebDriverException
    from urllib3.exceptions import HTTPError

    class Chrome(webdriver.Chrome):
        """Kills the browser if it does not answer a command within ``DRIVER_SECONDS``.

        Selenium waits 120 s for each command, and repeats some of them three times.
        """

        def execute(self, *command):
            timer = threading.Timer(DRIVER_SECONDS, self.kill)
            timer.daemon = True
            timer.start()
            try:
                return super().execute(*command)
            finally:
                timer.cancel()

        def kill(self):
            with suppress(OSError, AttributeError, KeyError):
                os.kill(self.capabilities["goog:processID"], signal.SIGKILL)
            self.service.process.kill()

    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    flags = (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--window-size=1280,900",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        *flags,
    )
    for flag in flags:
        options.add_argument(flag)
    driver = Chrome(options, webdriver.ChromeService(found[1]))
    driver.set_page_load_timeout(SECONDS)
    try:
        yield driver
    finally:
        with suppress(WebDriverException, HTTPError, OSError):  # a killed browser cannot quit
            driver.quit()


@contextmanager
def other_site(html):
    """The URL of another origin's page, with the host name localhost."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *given):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
