"""OSC control: real UDP packets change a session; bad packets are reported and end nothing."""

import random
import socket
import sys

import pytest
from conftest import until
from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.udp_client import SimpleUDPClient

from vidstyle import DeviceError
from vidstyle.live.commands import PARAMETERS
from vidstyle.live.osc import MAX_REPORTED, OscInput, command_of


@pytest.fixture
def osc(page_session):
    """OSC control of a session whose frames the test requests."""
    opened = OscInput("0")
    opened.open(page_session.session)
    yield opened
    opened.close()
    assert not opened._thread.is_alive() and opened._thread.error is None


def packet_of(address, *values):
    message = OscMessageBuilder(address)
    for value in values:
        message.add_arg(value)
    return message.build().dgram


@pytest.fixture
def send(osc, page_session):
    """Sends a message; the next frame is stylised after it has arrived."""
    session, received = page_session.session, []
    execute = osc._execute

    def note(packet):
        execute(packet)
        received.append(packet)

    osc._execute = note

    def send(address, *values):
        count = len(received)
        SimpleUDPClient("127.0.0.1", osc.port).send_message(address, list(values))
        until(lambda: len(received) > count)
        page_session.stylize_frame()
        return [message.text for message in session.messages.recent()]

    return send


def test_osc_packets_change_the_session(page_session, send):
    session, settings = page_session.session, lambda: page_session.session.state["settings"]
    page_session.stylize_frame()
    send("/vidstyle/style", "scene")
    assert session.controls.weights == [0, 1]
    send("/vidstyle/style", 1.0)  # senders without integers
    assert session.controls.weights == [1, 0]
    send("/vidstyle/blend", 1, 0.5)
    assert session.controls.weights == [1, 0.5]
    for name, (lowest, highest) in PARAMETERS.items():
        send(f"/vidstyle/{name}", float(round((lowest + highest) / 2)))
        page_session.stylize_frame()
        assert settings()[name] == round((lowest + highest) / 2)
    send("/vidstyle/save_preset", "chorus")
    send("/vidstyle/strength", 0.25)
    send("/vidstyle/preset", 1)
    page_session.stylize_frame()
    assert settings()["strength"] == 0
    for value in (1, 0):  # pressed and released
        send("/vidstyle/freeze", value)
    assert session.display.frozen
    send("/vidstyle/freeze")
    assert not session.display.frozen
    assert send("/vidstyle/snapshot", 1)[-1].startswith("snapshot: ")
    send("/vidstyle/record", 1)
    assert session.recorder.running
    send("/vidstyle/record", 1)
    assert not session.recorder.running
    assert not [message for message in session.messages.recent() if message.error]


WRONG_MESSAGES = (
    ("/vidstyle/strength", [2.0], "strength must be a number from 0 to 1, not 2"),
    ("/vidstyle/strength", [float("nan")], "not NaN"),
    ("/vidstyle/strength", [b"blob"], "strength must be a number"),
    ("/vidstyle/strength", [], "send one value, not 0"),
    ("/vidstyle/strength", [1, 2], "send one value, not 2"),
    ("/vidstyle/style", ["none"], 'there is no style "none"'),
    ("/vidstyle/preset", [1], "there is no preset 1: save one first"),
    ("/vidstyle/blend", [1], "blend has 1 weights, and there are 2 styles"),
    ("/vidstyle/dance", [], "after /vidstyle/ use one of strength, style_scale"),
    ("/other", [1], "the address must start with /vidstyle/"),
    ("/vidstyle/\u00fc\n", [1], "there is no such address"),
)


def test_osc_error_is_reported_once_per_address(page_session, osc, send):
    messages = page_session.session.messages
    for address, values, reason in WRONG_MESSAGES:
        osc._reported.clear()
        for _ in range(2):
            osc._execute(packet_of(address, *values))
        (message,) = messages.recent()
        assert message.error and message.text.startswith("OSC: ") and message.text.isprintable()
        assert reason in message.text
        messages._messages.clear()
    send("/vidstyle/style", 2)
    assert page_session.session.controls.weights == [0, 1]


def test_osc_packets_that_are_not_osc_end_nothing(page_session, osc, send):
    bundle, generator = OscBundleBuilder(1e9), random.Random(1)
    bundle.add_content(OscMessage(packet_of("/vidstyle/steps", 7)))
    data = bundle.build().dgram
    for _ in range(3000):
        changed = bytearray(data)
        for place in generator.sample(range(len(data)), 3):
            changed[place] = generator.choice([0, 255, generator.randrange(256)])
        osc._execute(bytes(changed[: generator.randint(0, len(data))]))
    nested = data
    for _ in range(3000):
        nested = data[:16] + len(nested).to_bytes(4, "big") + nested
    osc._execute(nested)
    texts = [message.text for message in page_session.session.messages.recent()]
    assert len(osc._reported) <= MAX_REPORTED and all(text.isprintable() for text in texts)
    assert "" in osc._reported
    send("/vidstyle/style", 2)
    assert page_session.session.controls.weights == [0, 1]


def test_osc_bundle_is_carried_out_at_once(page_session, osc, send):
    bundle = OscBundleBuilder(2e9)  # seconds since 1970, which has not come
    bundle.add_content(OscMessage(packet_of("/vidstyle/steps", 7)))
    osc._execute(bundle.build().dgram)
    page_session.stylize_frame()
    page_session.stylize_frame()
    assert page_session.session.state["settings"]["steps"] == 7


@pytest.mark.parametrize(
    "address", ["", "x", "9000:", "localhost:", "1.2.3.4:70000", "-1", "\u0663"]
)
def test_osc_address_is_checked(address):
    with pytest.raises(ValueError, match="is not a valid address for OSC: use PORT or HOST:PORT"):
        OscInput(address)


def test_osc_listens_on_this_machine_only_by_default(osc):
    assert osc._socket.getsockname()[0] == "127.0.0.1"
    with pytest.raises(DeviceError, match=r"port \d+ \(.*\): choose another with --osc"):
        OscInput(str(osc.port))
    with pytest.raises(DeviceError, match="choose another with --osc"):
        OscInput("no.such.host.invalid:9000")


def test_osc_accepts_ipv6():
    try:
        opened = OscInput("[::1]:0")
    except DeviceError as error:
        pytest.skip(str(error))
    assert opened._socket.family == socket.AF_INET6
    opened.close()


def test_osc_release_of_a_button_is_no_command():
    assert command_of("/vidstyle/next", [0.0]) is None
    assert command_of("/vidstyle/next", []) == command_of("/vidstyle/next", [1.0]) == {"do": "next"}


def test_osc_names_the_package_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "vidstyle.live.osc")
    monkeypatch.setitem(sys.modules, "pythonosc.osc_packet", None)
    with pytest.raises(DeviceError, match=r"pip install 'vidstyle\[osc\]'"):
        __import__("vidstyle.live.osc")
