import hashlib
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from skep.model.errors import Broken, Invalid
from skep.wire.authority import (
    Authority,
    Subject,
    check_issued,
    digest,
    make_key_and_csr,
    subject_of,
    validity,
)

NOW = 1_800_000_000.0
DAY = 86400
WORKER = Subject(node_id="w" * 25, role="worker", cluster_id="c" * 25)
MANAGER = Subject(node_id="m" * 25, role="manager", cluster_id="c" * 25)


def extension(certificate: str, kind):
    return x509.load_pem_x509_certificate(certificate.encode()).extensions.get_extension_for_class(
        kind
    )


def signed(cluster, subject: Subject, days: int = 90) -> str:
    return cluster.authority.sign(make_key_and_csr()[1], subject, days=days, now=NOW)


@pytest.mark.parametrize("subject", [WORKER, MANAGER])
def test_a_certificate_says_whose_it_is(cluster, subject):
    certificate = signed(cluster, subject)
    assert subject_of(certificate) == subject
    loaded = x509.load_pem_x509_certificate(certificate.encode())
    assert subject_of(loaded.public_bytes(serialization.Encoding.DER)) == subject
    assert loaded.subject.rfc4514_string() == (
        f"CN={subject.node_id},OU=swarm-{subject.role},O={subject.cluster_id}"
    )


def test_only_managers_may_serve(cluster):
    def purposes(subject):
        certificate = signed(cluster, subject)
        names = extension(certificate, x509.SubjectAlternativeName).value
        return (
            ExtendedKeyUsageOID.SERVER_AUTH in extension(certificate, x509.ExtendedKeyUsage).value,
            names.get_values_for_type(x509.DNSName),
        )

    assert purposes(WORKER) == (False, [WORKER.node_id])
    assert purposes(MANAGER) == (True, [MANAGER.node_id, "swarm-manager"])


def test_no_node_may_sign_others(cluster):
    for subject in (WORKER, MANAGER):
        assert not extension(signed(cluster, subject), x509.BasicConstraints).value.ca
    assert extension(cluster.ca, x509.BasicConstraints).value.path_length == 0


def test_validity_begins_an_hour_early_and_ends_in_time(cluster):
    life = validity(signed(cluster, WORKER, days=30))
    assert (life.begin, life.end) == (NOW - 3600, NOW + 30 * DAY)
    life = validity(Authority.create(NOW).certificate_pem)
    assert life.end - NOW > 19 * 365 * DAY


def test_the_request_has_no_say_in_the_name(cluster):
    key = ec.generate_private_key(ec.SECP256R1())
    wish = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "swarm-manager")])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(wish)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    csr = request.public_bytes(serialization.Encoding.PEM).decode()
    certificate = cluster.authority.sign(csr, WORKER, days=1, now=NOW)
    assert subject_of(certificate) == WORKER
    assert not extension(certificate, x509.BasicConstraints).value.ca


def test_bad_requests_are_refused(cluster):
    weak = rsa.generate_private_key(65537, 1024)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    rsa_csr = builder.sign(weak, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    der = bytearray(
        builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(
            serialization.Encoding.DER
        )
    )
    der[-1] ^= 1
    stolen = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM).decode()
    for csr, sentence in (
        ("", "malformed"),
        ("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "malf"),
        (cluster.ca, "malformed"),
        (rsa_csr, "must be for an EC P-256 key"),
        (stolen, "not signed by its own key"),
    ):
        with pytest.raises(Invalid, match=sentence):
            cluster.authority.sign(csr, WORKER, days=1, now=NOW)


def test_the_ca_survives_being_stored(cluster):
    authority = cluster.authority
    again = Authority.from_pem(authority.certificate_pem, authority.key_pem)
    key, csr = make_key_and_csr()
    certificate = again.sign(csr, WORKER, days=1, now=time.time())
    check_issued(certificate, key, cluster.ca)


def test_a_damaged_ca_is_a_sentence(cluster, foreign):
    with pytest.raises(Broken, match="do not belong together"):
        Authority.from_pem(cluster.ca, foreign.authority.key_pem)
    with pytest.raises(Broken, match="cannot be read"):
        Authority.from_pem("nonsense", cluster.authority.key_pem)


def test_a_foreign_certificate_is_recognised(cluster, foreign):
    check_issued(cluster.worker.certificate, cluster.worker.key, cluster.ca)
    with pytest.raises(Invalid, match="not from this cluster's CA"):
        check_issued(foreign.worker.certificate, foreign.worker.key, cluster.ca)
    with pytest.raises(Invalid, match="another key"):
        check_issued(cluster.worker.certificate, cluster.manager.key, cluster.ca)


def test_the_ca_s_own_certificate_is_no_node(cluster):
    with pytest.raises(Invalid, match="not a swarm node's"):
        subject_of(cluster.ca)
    for nonsense in ("nonsense", b"nonsense"):
        with pytest.raises(Invalid, match="malformed"):
            subject_of(nonsense)


def test_the_digest_is_sha256_of_der_in_base_36(cluster):
    der = x509.load_pem_x509_certificate(cluster.ca.encode()).public_bytes(
        serialization.Encoding.DER
    )
    assert len(digest(cluster.ca)) == 50
    assert int(digest(cluster.ca), 36) == int(hashlib.sha256(der).hexdigest(), 16)


def test_no_node_can_be_named_like_the_server(cluster):
    impostor = Subject(node_id="swarm-manager", role="worker", cluster_id="c" * 25)
    with pytest.raises(AssertionError, match="bad node id"):
        signed(cluster, impostor)
