from msgspec.structs import replace

from skep.agent.files import hosts_file, linked, resolv_conf, search_domains, upstreams
from skep.agent.records import Record, Wanted
from skep.model.host import Endpoint


def endpoint(name, address, id):
    return Endpoint(
        id=id, network_id=name, network_name=name, link="eth0", port="veth0",
        address=address, mac="02:42:0a:00:01:05",
    )  # fmt: skip


def record(**kwargs):
    base = {
        "id": "0123456789abcdef", "name": "web", "image": "nginx", "sandbox_id": "b" * 64,
        "network_mode": "net", "created_at": 1.0,
    }  # fmt: skip
    return Record(**{**base, **kwargs})


def test_hosts_names_the_container_at_its_network_not_at_the_gateway_leg():
    text = hosts_file(
        record(
            hostname="web1",
            endpoints=(
                endpoint("net", "10.0.1.5/24", "e1"),
                endpoint("docker_gwbridge", "172.18.0.3/16", "e2"),
            ),
            gateway="e2",
            extra_hosts=("db:10.9.9.9",),
        )
    )
    assert "10.0.1.5\tweb1\n" in text
    assert "172.18.0.3" not in text
    assert "10.9.9.9\tdb\n" in text
    assert text.startswith("127.0.0.1\tlocalhost\n")


def test_on_the_default_bridge_alone_that_is_its_address():
    only = endpoint("bridge", "172.17.0.2/16", "e")
    assert "172.17.0.2\t0123456789ab\n" in hosts_file(record(endpoints=(only,), gateway="e"))


def test_resolv_conf_sends_everything_to_skep_dns():
    host = "# made by hand\nnameserver 192.0.2.1\nsearch corp.example lab.example\noptions rotate\n"
    assert resolv_conf(record(), host) == (
        "nameserver 127.0.0.11\nsearch corp.example lab.example\noptions ndots:0\n"
    )
    own = record(search=("a.example",), dns_options=("ndots:2",))
    assert resolv_conf(own, host) == "nameserver 127.0.0.11\nsearch a.example\noptions ndots:2\n"
    assert "search" not in resolv_conf(record(search=(".",)), host)


def test_the_hosts_own_resolvers_are_read_once_each():
    text = "nameserver 192.0.2.1\nnameserver 2001:db8::1\nnameserver 192.0.2.1\nnameserver\n"
    assert upstreams(text) == ("192.0.2.1", "2001:db8::1")
    assert search_domains("domain a\nsearch b c\n") == ("b", "c")
    assert upstreams("") == ()


def test_hosts_names_both_families():
    both = replace(endpoint("net", "10.0.1.5/24", "e1"), address6="fd00:1::5/64")
    text = hosts_file(record(hostname="web1", endpoints=(both,), extra_hosts=("db:fd00:9::9",)))
    assert "10.0.1.5\tweb1\nfd00:1::5\tweb1\n" in text
    assert "fd00:9::9\tdb\n" in text


def test_the_host_has_a_name_where_it_is_wanted():
    text = hosts_file(record(extra_hosts=("me:host-gateway", "six:[fd00::1]")), "172.17.0.1")
    assert "172.17.0.1\tme\n" in text
    assert "fd00::1\tsix\n" in text


def test_links_are_lines_of_what_runs():
    database = record(
        id="d" * 64, name="database", endpoints=(endpoint("bridge", "172.17.0.9/16", "e1"),)
    )
    elsewhere = replace(database, name="other", endpoints=())
    asker = record(
        links=("database:/web/db", "other:o"),
        endpoints=(endpoint("bridge", "172.17.0.2/16", "e2"),),
        gateway="e2",
    )
    assert linked(asker, [database, elsewhere]) == [("172.17.0.9", f"db {'d' * 12}")]
    assert f"172.17.0.9\tdb {'d' * 12}\n" in hosts_file(asker, links=linked(asker, [database]))
    wanted = Wanted(network="bridge", links=("database:data",))
    by_network = replace(asker, links=(), wanted=(wanted,))
    assert linked(by_network, [database]) == [("172.17.0.9", f"data {'d' * 12}")]
    apart = replace(asker, endpoints=(endpoint("net", "10.0.0.2/24", "e2"),))
    assert linked(apart, [database]) == []
