"""ACM: a certificate under an ARN that was chosen before, as settings name one that exists already."""

import ipaddress
import re
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from moto.acm.models import CertBundle, acm_backends

ARN = re.compile(
    r"arn:aws(-[a-z-]+)?:acm:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):certificate/[0-9a-f-]{36}"
)
NAME = "localhost"
VALID_DAYS = 365


def hold_certificate(arn: str) -> str:
    """Makes ACM hold a self-signed certificate for localhost under the ARN, unless it holds one.

    Returns it as PEM, so that clients can trust it. Raises ValueError for what is not the ARN of one.
    """
    parts = ARN.fullmatch(arn)
    if parts is None:
        raise ValueError(
            f"{arn!r} is not the ARN of an ACM certificate; "
            "one is arn:aws:acm:<region>:<12 digits>:certificate/<36 hexadecimal digits and hyphens>"
        )
    account, region = parts["account"], parts["region"]
    held = acm_backends[account][region]._certificates
    if arn not in held:
        certificate, key = _self_signed()
        held[arn] = CertBundle(account, certificate, key, region=region, arn=arn)
    pem: bytes = held[arn].cert
    return pem.decode()


def _self_signed() -> tuple[bytes, bytes]:
    """A certificate and its key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    names = [x509.DNSName(NAME), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
    # Yesterday: a clock that is a little late must not refuse it.
    start = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
