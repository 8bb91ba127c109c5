from skep.wire.authority import Subject, make_key_and_csr, validity
from skep.wire.renew import renew_at

NOW = 1_800_000_000.0
WORKER = Subject(node_id="w" * 25, role="worker", cluster_id="c" * 25)


def test_renewal_falls_between_half_and_four_fifths_of_a_life(cluster):
    instants = set()
    for _ in range(20):
        csr = make_key_and_csr()[1]
        certificate = cluster.authority.sign(csr, WORKER, days=90, now=NOW)
        life = validity(certificate)
        at = renew_at(certificate, NOW)
        share = (at - life.begin) / (life.end - life.begin)
        assert 0.5 <= share <= 0.8
        assert at == renew_at(certificate, NOW + 1)
        instants.add(at)
    assert len(instants) > 10


def test_what_is_overdue_is_due_now(cluster):
    csr = make_key_and_csr()[1]
    certificate = cluster.authority.sign(csr, WORKER, days=1, now=NOW)
    assert renew_at(certificate, NOW + 10 * 86400) == NOW + 10 * 86400
