"""The words of the walkthroughs, tried on a program that plays docker; and the rows' form."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from rows import ROWS, read

FOLDER = Path(__file__).parent
CLIENT = r"""#!/bin/bash
shift 2  # -H unix://…
case "$*" in
"network inspect -f {{.Id}} mongo") echo wdwvazbewe1234567890abcde ;;
"inspect -f {{.NetworkSettings.SandboxKey}} c1") echo /run/netns/0123456789ab ;;
*IPAddress*c1) echo 10.0.1.7 ;;
"service inspect -f "*VirtualIPs*)
    printf 'other 10.0.0.5/24\nwdwvazbewe1234567890abcde 10.0.1.2/24\n\n' ;;
"service ls "*) printf 'web 2/2\nweb-two 1/2\n' ;;
"ps --no-trunc -qf name=web.") [ -z "$EMPTY" ] && printf 'aaa\nbbb\n' ;;
*) echo "unexpected: $*" >&2; exit 9 ;;
esac
"""


@pytest.fixture
def bash(tmp_path):
    client = tmp_path / "docker"
    client.write_text(CLIENT)
    client.chmod(0o755)
    # In place of the program that goes into a host: print what would be run there.
    nsenter = tmp_path / "nsenter"
    nsenter.write_text(
        '#!/bin/bash\nwhere=$1; shift 8; [ -n "$SAYS" ] && echo "$SAYS" || echo "$where $@"\n'
    )
    nsenter.chmod(0o755)
    for host, init in (("h1", 11), ("h2", 22)):
        (tmp_path / "w" / host).mkdir(parents=True)
        (tmp_path / "w" / host / "init.json").write_text(f'{{"pid":{init},"started":5}}')

    def run(script, **variables):
        environment = os.environ | {"LAB": "w", "LABS": str(tmp_path), "DOCKER": str(client)}
        environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
        return subprocess.run(
            ["bash", "-c", f"source {FOLDER}/shorthand.sh\n{script}"],
            env=environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("script", "output"),
    [
        ("n10 mongo", "wdwvazbewe"),
        ("n9 mongo", "wdwvazbew"),
        ("sbox 1 c1", "0123456789ab"),
        ("cip 2 c1 mongo", "10.0.1.7"),
        ("vip web mongo", "10.0.1.2/24"),
        ("mac 10.0.1.250", "02:42:0a:00:01:fa"),
        ("mac 10.0.1.250/24", "02:42:0a:00:01:fa"),
        ("task 1 web", "aaa"),
        ("cnode web", "1"),
        ("running web 2/2 && echo yes", "yes"),
        ("running web-two 2/2 || echo no", "no"),
        ("running web 1/2 || echo no", "no"),
        ("N2 ip -o link", "--target=22 -- ip -o link"),
        (
            "IN 1 1-abc ip addr",
            "--target=11 -- nsenter --net=/run/netns/1-abc ip addr",
        ),
        ("n=0; three() { n=$((n + 1)); [ $n = 3 ]; }; retry 60 three && echo $n", "3"),
        ("retry 0 false || echo gave up", "gave up"),
        ("ip=IP2; echo ${!ip} $IF2", "192.168.90.12 eth0"),
    ],
)
def test_a_word_means(bash, script, output):
    ran = bash(script)
    assert (ran.stdout.strip(), ran.stderr) == (output, "")


def test_a_service_that_runs_nowhere_has_no_host(bash):
    assert bash("cnode web", EMPTY="yes").returncode == 1


def test_an_interface_is_found_by_its_exact_address(bash):
    line = "4: eth1    inet 10.0.1.7/24 brd 10.0.1.255 scope global eth1"
    assert bash("ifof 1 s 10.0.1.7", SAYS=line).stdout == "eth1\n"
    assert bash("ifof 1 s 10.0.1.70", SAYS=line).stdout == ""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_is_proper_bash(row):
    for script in (row.command, row.assertion):
        checked = subprocess.run(
            ["bash", "-n", "-c", script], capture_output=True, text=True, check=False
        )
        assert checked.stderr == ""


def test_rows_use_only_known_words():
    known = (FOLDER / "shorthand.sh").read_text()
    for row in ROWS:
        for word in re.findall(
            r"\b(nid|n10|n9|sbox|cip|vip|mac|task|cnode|ifof|retry|IN)\b", row.command
        ):
            assert f"\n{word}() " in known


def test_rows_are_unique_and_all_there():
    ids = [row.id for row in ROWS]
    assert len(set(ids)) == len(ids)
    wanted = {f"W3-{number:02}" for number in range(1, 16)}
    wanted |= {f"W0-{number:02}" for number in range(1, 30)} - {"W0-26"}
    wanted |= {f"W1-{number:02}" for number in range(1, 43)} - {"W1-05", "W1-21", "W1-35"}
    wanted |= {f"W2-{number:02}" for number in range(1, 7)}
    wanted |= {f"W4-{number:02}" for number in range(1, 13)}
    assert set(ids) == wanted


def test_what_is_no_row_is_refused():
    with pytest.raises(AssertionError, match="not a row"):
        read("W1-01: shows\n$ command\n\n? assertion\n")
