"""Access control of the page: host names, origins, and the token."""

import re

import httpx
import pytest
from conftest import SECONDS
from page_session import open_page_session

from vidstyle import cli
from vidstyle.web.address import check_host_name


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:1"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "192.168.1.2"}, 421),
        ({"Host": "[::1"}, 421),
        ({"Host": ""}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_access_rejects_cross_origin_requests(client, headers, status):
    assert client.get("/state", headers=headers).status_code == status
    assert client.post("/command", json={"do": "next"}, headers=headers).status_code == (
        204 if status == 200 else status
    )


@pytest.mark.parametrize("path", ["/", "/frame.jpg"])
@pytest.mark.parametrize(
    "headers, status",
    [
        ({}, 200),
        ({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200),
        ({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403),
        ({"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403),
    ],
)
def test_access_accepts_links_but_not_embedding(client, page_session, path, headers, status):
    page_session.stylize_frame()
    answer = client.get(path, headers={"Sec-Fetch-Site": "cross-site"} | headers)
    assert answer.status_code == status
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.fixture
def guarded(page_camera, features, style, tmp_path, monkeypatch):
    """(page_session, client, token) of a page on all interfaces with the host studio.example."""
    monkeypatch.chdir(tmp_path)
    with open_page_session(page_camera, features, style, "0.0.0.0:0", ["studio.example"]) as made:
        port, token = re.fullmatch(r"http://.*:(\d+)/\?token=(.*)", made.page.url).groups()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=SECONDS) as client:
            yield made, client, token


def test_access_in_network_requires_token(guarded):
    page_session, client, token = guarded
    page_session.stylize_frame()
    paths = (
        "/state",
        "/frame.mjpg",
        "/frame.mjpeg",
        "/frame.jpg",
        "/styles/0.jpg",
        "/nothing",
    )
    for path in paths:
        for wrong in (
            "",
            "?token=",
            "?token=wrong",
            f"?token={token[:-1]}",
            "?token=%ff%ff",
            f"?token={token}x",
        ):
            answer = client.get(path + wrong)
            assert (
                answer.status_code == 401
                and "open the whole URL that vidstyle printed" in answer.text
            )
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": f"vidstyle={token}"}):
        assert client.post("/command", json={"do": "next"}, headers=headers).status_code == 401
        assert client.post("/styles", content=b"", headers=headers).status_code == 401


def test_access_accepts_token_in_url_or_header(guarded):
    page_session, client, token = guarded
    page_session.stylize_frame()
    for headers in ({"Authorization": f"Bearer {token}"}, {"X-Vidstyle-Token": token}):
        assert client.get("/state", headers=headers).status_code == 200
        assert client.post("/command", json={"do": "next"}, headers=headers).status_code == 204
    password = {"Authorization": "Basic dTpw", "X-Vidstyle-Token": token}  # for a proxy
    assert client.get("/state", headers=password).status_code == 200
    assert client.get(f"/frame.jpg?token={token}").headers["content-type"] == "image/jpeg"
    for path in ("/frame.mjpg", "/frame.mjpeg"):
        with client.stream("GET", f"{path}?token={token}") as answer:
            assert answer.status_code == 200 and next(answer.iter_bytes())


def test_access_page_files_need_no_token_and_set_no_cookie(guarded):
    _, client, token = guarded
    for path in ("/", f"/?token={token}", "/page.js", "/page.css"):
        answer = client.get(path)
        assert (
            answer.status_code == 200
            and "set-cookie" not in answer.headers
            and token not in answer.text
        )


@pytest.mark.parametrize(
    "host, origin, status",
    [
        ("studio.example", None, 200),
        ("STUDIO.example.:8443", None, 200),
        ("192.168.1.2:8765", "http://192.168.1.2:8765", 200),
        ("[fe80::1]:8765", "http://[fe80::1]:8765", 200),
        ("other.example", None, 421),
        ("studio.example.evil.example", None, 421),
        ("evil@studio.example", None, 421),
        ("studio.example", "https://studio.example", 200),
        ("studio.example", "http://studio.example", 200),
        ("studio.example:443", "https://studio.example", 200),
        ("127.0.0.1:8765", "https://studio.example", 200),  # proxy
        ("localhost:8765", "https://localhost:8765", 200),
        ("localhost:8765", "http://localhost:9000", 403),
        ("studio.example", "https://other.example", 403),
        ("studio.example", "null", 403),
        ("studio.example", "https://studio.example.evil.example", 403),
        ("studio.example", "ftp://studio.example", 403),
    ],
)
def test_access_allowed_hosts_behind_proxies(guarded, host, origin, status):
    _, client, token = guarded
    headers = {"Host": host, "X-Vidstyle-Token": token} | ({"Origin": origin} if origin else {})
    assert client.get("/state", headers=headers).status_code == status
    assert client.post("/command", json={"do": "next"}, headers=headers).status_code == (
        204 if status == 200 else status
    )


def test_access_allowed_host_requires_token_locally(page_camera, features, style):
    with open_page_session(
        page_camera, features, style, allowed=["studio.example"]
    ) as page_session:
        address, token = page_session.page.url.split("?token=")
        with httpx.Client(base_url=address, timeout=SECONDS) as client:
            for host in ("studio.example", "localhost"):
                assert client.get("/state", headers={"Host": host}).status_code == 401
                answer = client.get("/state", headers={"Host": host, "X-Vidstyle-Token": token})
                assert answer.status_code == 200
            assert client.get("/state", headers={"Host": "192.168.1.2"}).status_code == 421


@pytest.mark.parametrize(
    "given, expected",
    [
        ("studio.example.", "studio.example"),
        ("raspberrypi", "raspberrypi"),
        ("192.168.1.2", "192.168.1.2"),
        ("[fe80::1]", "fe80::1"),
        ("b\u00fcro.example", "xn--bro-hoa.example"),
        ("https://studio.example", None),
        ("studio.example:443", None),
        ("*.example", None),
        ("page_session example", None),
        ("", None),
    ],
)
def test_check_host_name_rejects_scheme_and_port(given, expected):
    if expected is None:
        with pytest.raises(
            ValueError, match=r"is not a valid host name: give it without scheme and port"
        ):
            check_host_name(given)
    else:
        assert check_host_name(given) == expected


def test_allow_host_without_page_is_usage_error(capsys):
    for flags, reason in (
        (["--allow-host", "a.example"], "add --web"),
        (["--web", "--allow-host", "a:1"], "is not a valid host name"),
    ):
        with pytest.raises(SystemExit) as leaving:
            cli.main(["live", "--camera", "clip.mp4", "--no-window", *flags])
        assert leaving.value.code == 2 and reason in capsys.readouterr().err
