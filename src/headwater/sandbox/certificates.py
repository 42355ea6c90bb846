"""A certificate authority of one stand-in's own, and its server's certificate for 127.0.0.1."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from headwater.sandbox.private_file import write_private

_VALID = timedelta(days=3650)
_RENEW_BEFORE_END = timedelta(days=30)


@dataclass(frozen=True)
class ServerCertificate:
    """PEM files: what a client trusts, and the server's key followed by its certificate (its owner's alone)."""

    authority: Path
    server: Path


def server_certificate(folder: Path) -> ServerCertificate:
    """The certificate kept in `folder`; made there at the first call and when it nears its end."""
    files = ServerCertificate(folder / "ca.pem", folder / "server.pem")
    if not _still_valid(files):
        _issue(files)
    return files


def _still_valid(files: ServerCertificate) -> bool:
    if not (files.authority.is_file() and files.server.is_file()):
        return False
    authority = x509.load_pem_x509_certificate(files.authority.read_bytes())
    return authority.not_valid_after_utc - _RENEW_BEFORE_END > datetime.now(UTC)


def _issue(files: ServerCertificate) -> None:
    now = datetime.now(UTC)
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Headwater sandbox")])
    usage = {"content_commitment": False, "data_encipherment": False, "key_agreement": False, "encipher_only": False}
    usage |= {"decipher_only": False, "key_encipherment": False}

    def builder(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + _VALID)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
        )

    authority = (
        builder(authority_name, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=False, key_cert_sign=True, crl_sign=True, **usage), critical=True
        )
        .sign(authority_key, hashes.SHA256())
    )
    names = [x509.IPAddress(IPv4Address("127.0.0.1")), x509.DNSName("localhost")]
    server = (
        builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), server_key)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=False, crl_sign=False, **usage), critical=True
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    key = server_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_private(files.server, (key + server.public_bytes(Encoding.PEM)).decode())
    files.authority.write_bytes(authority.public_bytes(Encoding.PEM))
