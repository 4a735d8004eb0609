"""Certificates for HTTPS, and a page that is served with one."""

import datetime
import ipaddress
import os
import ssl
import stat
import sys

import httpx
import pytest
from conftest import SECONDS
from page_session import PageSession

from vidstyle import DeviceError, InputError, OutputError
from vidstyle.live.web.server import Page
from vidstyle.web import certificate
from vidstyle.web.address import listen
from vidstyle.web.certificate import NAME, given_certificate, own_certificate

pytest.importorskip("cryptography")


def loaded(folder):
    from cryptography import x509

    return x509.load_pem_x509_certificate((folder / NAME).read_bytes())


def test_own_certificate_is_private_and_names_this_machine(tmp_path):
    from cryptography import x509

    own_certificate(tmp_path / "new" / "folder")
    found = loaded(tmp_path / "new" / "folder")
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "new" / "folder" / NAME).stat().st_mode) == 0o600
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "localhost" in names.get_values_for_type(x509.DNSName)
    assert ipaddress.ip_address("127.0.0.1") in names.get_values_for_type(x509.IPAddress)
    assert found.not_valid_after_utc - found.not_valid_before_utc <= datetime.timedelta(days=398)


def test_own_certificate_is_kept_until_it_expires_or_does_not_fit(tmp_path, monkeypatch):
    path = tmp_path / NAME
    own_certificate(tmp_path)
    first = path.read_bytes()
    own_certificate(tmp_path)
    assert path.read_bytes() == first

    other = {ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("10.9.8.7")}
    monkeypatch.setattr(certificate, "_own_addresses", lambda: other)
    own_certificate(tmp_path)
    second = path.read_bytes()
    assert second != first
    other.add(ipaddress.ip_address("2001:db8::5"))  # changes every day
    own_certificate(tmp_path)
    assert path.read_bytes() == second

    monkeypatch.setattr(certificate, "VALID_DAYS", 1.5)
    path.write_bytes(b"damaged")
    own_certificate(tmp_path)
    third = path.read_bytes()
    own_certificate(tmp_path)  # less than a day is left
    assert path.read_bytes() != third


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_own_certificate_without_a_folder_names_a_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another folder with XDG_DATA_HOME"):
        own_certificate(tmp_path / "file")


def test_own_certificate_without_cryptography_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(DeviceError, match=r"pip install 'vidstyle\[webrtc\]'"):
        own_certificate(tmp_path)


def test_given_certificate_names_what_is_wrong(tmp_path):
    from cryptography.hazmat.primitives import serialization

    for name in ("one", "two"):
        own_certificate(tmp_path / name)
    one, two = (tmp_path / name / NAME for name in ("one", "two"))
    assert isinstance(given_certificate(one, one), ssl.SSLContext)
    with pytest.raises(InputError, match="does not belong to the certificate"):
        given_certificate(one, two)
    with pytest.raises(InputError, match=r"cannot be read .*: check its name"):
        given_certificate(tmp_path / "nothing.pem", one)
    (tmp_path / "text").write_text("text")
    with pytest.raises(InputError, match="are not a certificate and its key in PEM format"):
        given_certificate(tmp_path / "text", one)
    key = serialization.load_pem_private_key(one.read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (tmp_path / "locked").write_bytes(locked)
    with pytest.raises(InputError, match="without a password"):  # nobody is asked for it
        given_certificate(one, tmp_path / "locked")


def test_page_is_served_by_https(tmp_path, page_camera, features, style, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = Page(listen("127.0.0.1:0"), certificate=own_certificate(tmp_path))
    made = PageSession(page, page_camera, features, style)
    try:
        assert page.url.startswith("https://127.0.0.1:")
        trusted = ssl.create_default_context(cafile=str(tmp_path / NAME))
        with httpx.Client(base_url=page.url, verify=trusted, timeout=SECONDS) as client:
            assert client.get("/").status_code == 200
            own = {"Origin": page.url.rstrip("/")}
            assert client.post("/command", json={"do": "next"}, headers=own).status_code == 204
            made.stylize_frame()
            assert client.get("/frame.jpg").status_code == 200
    finally:
        made.session.close()
