"""Certificates for HTTPS: those of the user, or a self-signed one for this machine."""

import datetime
import ipaddress
import os
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import DeviceError, InputError, OutputError
from ..io.files import replacing

VALID_DAYS = 397
"""Validity of a certificate: browsers reject longer ones."""

LEAST_DAYS = 1
"""Rest of its validity below which a certificate is replaced."""

LOOPBACK = "127.0.0.1", "::1"

MAX_NAME_LENGTH = 64
"""Characters of a host name that a certificate may have."""

NAME = "certificate.pem"
"""File of the self-signed certificate and of its key."""


def given_certificate(certificate: Path, key: Path) -> ssl.SSLContext:
    """Load a certificate, with its chain, and its key from PEM files.

    Raises:
        InputError: a file cannot be read, the key is encrypted, or they do not belong together.
    """
    for file in (certificate, key):
        try:
            file.read_bytes()
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(f"{file} cannot be read ({reason}): check its name") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            problem = f"the key {key} does not belong to the certificate {certificate}"
            raise InputError(f"{problem}: give the key with which it was made") from None
        problem = f"{certificate} and {key} are not a certificate and its key in PEM format"
        raise InputError(f"{problem}: convert them with openssl, without a password") from None
    return context


def own_certificate(folder: Path) -> ssl.SSLContext:
    """Load this machine's self-signed certificate, which is made where there is none.

    The certificate is used again until it expires, or until the machine has another address of
    IPv4. Its file has mode 0600.

    Args:
        folder: of the file, which is created.

    Raises:
        DeviceError: the package cryptography is missing.
        OutputError: the file cannot be written.
    """
    try:
        import cryptography  # noqa: F401
        import ifaddr  # noqa: F401
    except ImportError:
        raise DeviceError("--https needs cryptography: pip install 'vidstyle[webrtc]'") from None
    path, names, addresses = folder / NAME, _own_names(), _own_addresses()
    try:
        if not _serves(path, names, addresses):
            _write(path, _new_certificate(names, addresses))
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"cannot write {path} ({reason}): choose another folder with XDG_DATA_HOME"
        ) from None
    return given_certificate(path, path)


def _own_names() -> set[str]:
    names = {"localhost", host := socket.gethostname().lower(), f"{host}.local"}
    return {name for name in names if name.isascii() and len(name) <= MAX_NAME_LENGTH}


def _own_addresses() -> set[Any]:
    """The IP addresses of all network interfaces, without link-local ones of IPv6."""
    import ifaddr

    found: set[Any] = {ipaddress.ip_address(address) for address in LOOPBACK}
    for adapter in ifaddr.get_adapters():
        for each in adapter.ips:
            address = each.ip if isinstance(each.ip, str) else each.ip[0]
            with suppress(ValueError):
                found.add(ipaddress.ip_address(address))
    return {address for address in found if not (address.version == 6 and address.is_link_local)}


def _serves(path: Path, names: set[str], addresses: set[Any]) -> bool:
    """Whether a file has a valid certificate with its key, for these names and addresses.

    Addresses of IPv6 do not count: many machines change them every day.
    """
    from cryptography import x509

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return False
    try:
        certificate = x509.load_pem_x509_certificate(data)
        given_certificate(path, path)
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, InputError, x509.ExtensionNotFound):
        return False
    rest = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return (
        rest > datetime.timedelta(days=LEAST_DAYS)
        and names <= set(alternative.value.get_values_for_type(x509.DNSName))
        and {address for address in addresses if address.version == 4}
        <= set(alternative.value.get_values_for_type(x509.IPAddress))
    )


def _new_certificate(names: set[str], addresses: set[Any]) -> bytes:
    """A key and its self-signed certificate (X.509, ECDSA on P-256), in PEM format."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vidstyle")])
    now = datetime.datetime.now(datetime.UTC)
    alternative = [
        *map(x509.DNSName, sorted(names)),
        *map(x509.IPAddress, sorted(addresses, key=str)),
    ]
    server = [ExtendedKeyUsageOID.SERVER_AUTH]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS - 1))
        .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(server), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return secret + certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
