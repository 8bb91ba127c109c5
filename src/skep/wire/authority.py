"""The cluster's certificate authority, and what a host's certificate says of it.

A certificate names its owner in its subject, as in Docker: O is the cluster's id, OU the role, CN
the node's id. Only managers' certificates may serve TLS and carry the name `SERVER_NAME`, so a
worker's cannot stand in for a manager's. Keys are EC P-256. The time is passed in, Unix seconds.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from skep.model.errors import Broken, Invalid
from skep.model.ids import base36

SERVER_NAME = "swarm-manager"
"""The DNS name in every manager's certificate, and in no other: what clients check."""
DIGEST_LENGTH = 50
_UNITS = {"worker": "swarm-worker", "manager": "swarm-manager"}
_ROLES = {unit: role for role, unit in _UNITS.items()}
_IDENTIFIER = re.compile(r"[0-9A-Za-z]{1,64}")
_DAY = 86400.0
_AUTHORITY_DAYS = 20 * 365
_SKEW = 3600.0  # a certificate begins an hour early: clocks differ


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a certificate is. ``role`` is "worker" or "manager"."""

    node_id: str
    role: str
    cluster_id: str


class Validity(msgspec.Struct, frozen=True):
    """When a certificate begins and ends, Unix seconds."""

    begin: float
    end: float


class Authority(msgspec.Struct, frozen=True):
    """A cluster's CA: its certificate and its private key. The key never leaves the managers."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls, now: float) -> Authority:
        """A new CA, good for twenty years from ``now``."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "swarm-ca")])
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = (
            _builder(now, _AUTHORITY_DAYS)
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign=False), critical=True)
            .add_extension(identifier, critical=False)
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def from_pem(cls, certificate: str, key: str) -> Authority:
        """The CA that `certificate_pem` and `key_pem` gave. Raises `Broken` if they are no pair."""
        try:
            loaded = x509.load_pem_x509_certificate(certificate.encode())
            private = serialization.load_pem_private_key(key.encode(), password=None)
        except ValueError as error:
            raise Broken(f"the cluster's CA cannot be read: {error}") from error
        if (
            not isinstance(private, ec.EllipticCurvePrivateKey)
            or loaded.public_key() != private.public_key()
        ):
            raise Broken("the cluster's CA certificate and its key do not belong together")
        return cls(loaded, private)

    @property
    def certificate_pem(self) -> str:
        """The CA's certificate, which every host of the cluster knows."""
        return _pem(self.certificate)

    @property
    def key_pem(self) -> str:
        """The CA's private key, unencrypted PKCS #8."""
        return _key_pem(self.key)

    def sign(self, csr: str, subject: Subject, *, days: int, now: float) -> str:
        """A certificate (PEM) for the key in ``csr`` (PEM), good for ``days`` from ``now``.

        Who the owner is comes from ``subject`` alone; whatever the request says of it is ignored.
        Raises `Invalid` if the request is malformed, not signed by its own key, or not EC P-256.
        """
        assert subject.role in _UNITS, f"unknown role: {subject.role}"
        assert _IDENTIFIER.fullmatch(subject.node_id), f"bad node id: {subject.node_id}"
        purposes, names = [ExtendedKeyUsageOID.CLIENT_AUTH], [x509.DNSName(subject.node_id)]
        if subject.role == "manager":
            purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
            names.append(x509.DNSName(SERVER_NAME))
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = (
            _builder(now, days)
            .subject_name(_name(subject))
            .issuer_name(self.certificate.subject)
            .public_key(_key_of(csr))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(issuer, critical=False)
        )
        return _pem(builder.sign(self.key, hashes.SHA256()))


def make_key_and_csr() -> tuple[str, str]:
    """A new private key and a signing request for it, both PEM. The key stays on this host."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    signed = request.sign(key, hashes.SHA256())
    return _key_pem(key), signed.public_bytes(serialization.Encoding.PEM).decode()


def digest(certificate: str) -> str:
    """The SHA-256 of a certificate's (PEM) DER form, in 50 base-36 digits, as join tokens have it.

    Raises `Invalid`.
    """
    der = _load(certificate).public_bytes(serialization.Encoding.DER)
    return base36(int.from_bytes(hashlib.sha256(der).digest(), "big"), DIGEST_LENGTH)


def subject_of(certificate: str | bytes) -> Subject:
    """Whose certificate (PEM, or DER as bytes) this is, not whether it can be trusted: that is
    TLS's part, or `check_issued`'s. Raises `Invalid` if it is not a node's."""
    name = _load(certificate).subject
    parts = {
        oid: [attribute.value for attribute in name.get_attributes_for_oid(oid)]
        for oid in (
            NameOID.ORGANIZATION_NAME,
            NameOID.ORGANIZATIONAL_UNIT_NAME,
            NameOID.COMMON_NAME,
        )
    }
    match list(parts.values()):
        case [[str(cluster)], [str(unit)], [str(node)]] if unit in _ROLES:
            return Subject(node_id=node, role=_ROLES[unit], cluster_id=cluster)
    raise Invalid("the certificate is not a swarm node's")


def validity(certificate: str) -> Validity:
    """When the certificate (PEM) begins and ends. Raises `Invalid`."""
    loaded = _load(certificate)
    return Validity(loaded.not_valid_before_utc.timestamp(), loaded.not_valid_after_utc.timestamp())


def serial_number(certificate: str) -> int:
    """The certificate's (PEM) random serial number. Raises `Invalid`."""
    return _load(certificate).serial_number


def check_issued(certificate: str, key: str, ca: str) -> None:
    """Check that ``ca`` issued ``certificate`` for ``key`` (all PEM). Raises `Invalid`."""
    issued, private = _load(certificate), serialization.load_pem_private_key(key.encode(), None)
    if issued.public_key() != private.public_key():
        raise Invalid("the certificate is for another key")
    try:
        issued.verify_directly_issued_by(_load(ca))
    except (ValueError, TypeError, InvalidSignature):
        raise Invalid("the certificate is not from this cluster's CA") from None


def _builder(now: float, days: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(now - _SKEW, UTC))
        .not_valid_after(datetime.fromtimestamp(now + days * _DAY, UTC))
    )


def _usage(*, sign: bool) -> x509.KeyUsage:
    """Of a node's key, that signs handshakes, or of the CA's, that signs certificates."""
    return x509.KeyUsage(
        digital_signature=sign,
        key_cert_sign=not sign,
        crl_sign=not sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(subject: Subject) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, subject.cluster_id),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, _UNITS[subject.role]),
            x509.NameAttribute(NameOID.COMMON_NAME, subject.node_id),
        ]
    )


def _key_of(csr: str) -> ec.EllipticCurvePublicKey:
    try:
        request = x509.load_pem_x509_csr(csr.encode())
        proven = request.is_signature_valid
        key = request.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Invalid("the certificate signing request is malformed") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Invalid("the certificate signing request must be for an EC P-256 key")
    if not proven:
        raise Invalid("the certificate signing request is not signed by its own key")
    return key


def _load(certificate: str | bytes) -> x509.Certificate:
    try:
        if isinstance(certificate, bytes):
            return x509.load_der_x509_certificate(certificate)
        return x509.load_pem_x509_certificate(certificate.encode())
    except ValueError:
        raise Invalid("the certificate is malformed") from None


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
