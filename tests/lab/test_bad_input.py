"""Whatever comes in: counted, logged at a limited rate, nothing dies."""

import random
import re
import socket
import struct
import time

import pytest

import checks
from lab import ADDR, HERE, NODES, REPO, vip, wait_for
from sipcall import Answer
from sipua import netns_socket
from test_calls import hold_and_resume

BAD = sorted((REPO / "tests/unit/config/bad").glob("*.conf"))
BAD_NODE = sorted((REPO / "tests/unit/config/bad-node").glob("*.conf"))
LOG_LINES = 60                 # more than that is not a limited rate
VALID = (b"INVITE sip:x@10.10.0.10 SIP/2.0\r\n"
         b"Via: SIP/2.0/UDP 10.10.0.50:5060;branch=z9hG4bK%d\r\n"
         b"From: <sip:a@10.10.0.50>;tag=1\r\nTo: <sip:x@10.10.0.10>\r\n"
         b"Call-ID: fuzz%d\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n"
         b"Contact: <sip:a@10.10.0.50>\r\nContent-Type: application/sdp\r\n"
         b"Content-Length: 128\r\n\r\n"
         b"v=0\r\no=- 1 1 IN IP4 10.10.0.50\r\ns=-\r\nc=IN IP4 10.10.0.50"
         b"\r\nt=0 0\r\nm=audio 29000 RTP/AVP 0 101\r\n"
         b"a=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n")


@pytest.fixture
def w(shared_world):
    """A call is up throughout; nobody may have died, and it ends properly."""
    world = shared_world
    world.peers()
    world.settled()
    pairs = world.establish(1)
    before = {(n, p): world.lab.pid_of(n, p) for n in NODES
              for p in ("keeper", "guard", "sip", "media")}
    logs = {n: log_size(world, n) for n in NODES}
    world.log_limit = LOG_LINES
    # What looks like a call is refused, or its streams would be missed.
    world.ua["cloud"].answer = lambda call: Answer(
        code=200 if re.match("c1[0-9]{5}$", call.user or "") else 486)
    world.media_reset()
    yield world
    try:
        after = {(n, p): world.lab.pid_of(n, p) for n in NODES
                 for p in ("keeper", "guard", "sip", "media")}
        assert after == before, "somebody died"
        for node in NODES:
            grown = log_size(world, node) - logs[node]
            assert grown < world.log_limit, f"{node} logged {grown} lines"
        totals = world.listen(0.2)
        assert sum(t["lost"] for t in totals.values()) == 0
        assert sum(t["foreign"] for t in totals.values()) == 0
        hold_and_resume(world, pairs[0])
        more = world.establish(1)
        world.hang_up(pairs + more)
        # Who never acknowledged is given up after 32 s.
        checks.nothing_left(world, timeout=60)
    finally:
        world.hang_up_rest()
        world.forget_media()
        for key in list(world.ua):
            world.ua.pop(key).close()


def log_size(world, node):
    return len((world.lab.node_dir(node) / "sbcd.log").read_bytes()
               .splitlines())


def sock(side, kind=socket.SOCK_DGRAM, host=None):
    """At the session agent's address: a stranger is refused too early."""
    s = netns_socket(f"/run/netns/sbc-{side}", socket.AF_INET, kind)
    s.bind((host or ADDR[side, 4], 0))
    s.settimeout(3)
    return s


def counters(world):
    """Every number of `show health` on the active node, flattened."""
    def flat(value, path):
        if isinstance(value, dict):
            for k, v in value.items():
                yield from flat(v, f"{path}/{k}")
        elif isinstance(value, list):
            for i, v in enumerate(value):
                name = v.get("name", i) if isinstance(v, dict) else i
                yield from flat(v, f"{path}/{name}")
        elif isinstance(value, (int, float)):
            yield path, value
    return dict(flat(world.lab.sbcctl(world.active, "show", "counters"), ""))


def grew(before, after, pattern):
    return sum(v - before.get(k, 0) for k, v in after.items()
               if re.search(pattern, k))


# ---- configuration --------------------------------------------------------

def check_config(bare, args):
    return bare.lab.run("sbc-a", [bare.lab.build / "bin/sbcd", *args],
                        check=False)


def check_bad_file(bare, path, option):
    text = path.read_text(errors="replace")
    line, what = re.match(r"# expect (\d+): (.*)", text).groups()
    other = (["--node", "/etc/sbcd/node.conf"] if option == "--config"
             else ["--config", "/etc/sbcd/sbcd.conf"])
    for mode in (["-t"], []):
        res = check_config(bare, [*mode, option, path, *other])
        assert res.returncode == 1, (path.name, mode, res.stderr)
        said = res.stderr + res.stdout
        assert f"{path.name}:{line}:" in said, (path.name, said)
        assert what.strip() in said, (path.name, said)
    assert not (bare.lab.root("sbc-a") / "run/sbcd/sbcd.sock").exists()
    left = [p for p in bare.lab.pids_of("sbc-a")
            if p != bare.lab.pid_of("sbc-a", "corosync")]
    assert not left, "something was started"


def test_broken_configurations(bare):
    assert len(BAD) >= 20
    for path in BAD:
        check_bad_file(bare, path, "--config")
    for path in BAD_NODE:
        check_bad_file(bare, path, "--node")


def test_missing_files(bare):
    good = ["--config", "/etc/sbcd/sbcd.conf", "--node",
            "/etc/sbcd/node.conf"]
    assert check_config(bare, ["-t", *good]).returncode == 0
    for i in (1, 3):
        args = list(good)
        args[i] = "/etc/sbcd/none.conf"
        res = check_config(bare, args)
        assert res.returncode == 1
        assert "/etc/sbcd/none.conf" in res.stderr
    res = check_config(bare, ["--nonsense"])
    assert res.returncode not in (0, None)
    res = check_config(bare, ["--print-defaults"])
    assert res.returncode == 0 and "steering-pool" in res.stdout


def test_missing_or_open_key(bare):
    """Without its key a node does not start, nor with one all may read."""
    args = ["--config", "/etc/sbcd/sbcd.conf", "--node",
            "/etc/sbcd/node.conf"]
    bare.lab.run("sbc-a", ["chmod", "644", "/etc/sbcd/cluster.key"])
    res = check_config(bare, args)
    assert res.returncode and "cluster.key" in res.stderr
    bare.lab.run("sbc-a", ["rm", "/etc/sbcd/cluster.key"])
    res = check_config(bare, args)
    assert res.returncode and "cluster.key" in res.stderr


# ---- SIP -------------------------------------------------------------------

def invite(i):
    return VALID % (i, i)


def test_garbage_by_udp(w):
    rng, s = random.Random(1), sock("core")
    before = counters(w)
    for _ in range(2000):
        s.sendto(rng.randbytes(rng.randrange(1, 1400)), (vip("core"), 5060))
        time.sleep(0.0005)
    wait_for(lambda: grew(before, counters(w), "sip_rx_malformed") > 1000, 5,
             "garbage is counted")


def test_garbage_from_a_stranger(w):
    """Who is no session agent gets no further than the door."""
    rng, s = random.Random(6), sock("core", host="10.10.0.57")
    for i in range(500):
        s.sendto(rng.randbytes(rng.randrange(1, 1400)), (vip("core"), 5060))
        s.sendto(invite(900000 + i), (vip("core"), 5060))
        time.sleep(0.001)
    assert not [c for c in w.ua["cloud"].calls if c.user == "x"]


def test_truncated_sip_by_udp(w):
    """Every prefix of a call, and every prefix without its headers."""
    w.log_limit = 2000
    s, whole = sock("core"), invite(1)
    for cut in range(1, len(whole), 3):
        s.sendto(whole[:cut], (vip("core"), 5060))
        s.sendto(whole[cut:], (vip("core"), 5060))
        time.sleep(0.001)


def test_mutated_sip_by_udp(w):
    """Calls with some bytes changed; an answer is fine, death is not."""
    w.log_limit = 20000        # many are calls, and calls are logged
    rng, s = random.Random(2), sock("core")
    for i in range(3000):
        data = bytearray(invite(100000 + i))
        for _ in range(rng.randrange(1, 6)):
            kind, at = rng.randrange(4), rng.randrange(len(data))
            if kind == 0:
                data[at] = rng.randrange(256)
            elif kind == 1:
                del data[at:at + rng.randrange(1, 20)]
            elif kind == 2:
                data[at:at] = rng.choice([b"%", b"\0", b"\r\n", b"\xff" * 9,
                                          b"=6", b";maddr=a.b", b"," * 50])
            else:
                end = rng.randrange(at, min(len(data), at + 60))
                data[at:at] = data[at:end] * 3
        s.sendto(bytes(data[:60000]), (vip("core"), 5060))
        time.sleep(0.001)


def test_name_in_via_does_not_block(w):
    """maddr with a name must not lead to a look-up that blocks for 20 s."""
    s = sock("core")
    for i in range(5):
        s.sendto(invite(200000 + i).replace(
            b";branch", b";maddr=slow.example.org;branch"),
            (vip("core"), 5060))
    start = time.monotonic()
    assert w.ua["core"].request("OPTIONS", f"sip:{vip('core')}",
                                (vip("core"), 5060)).status == 200
    assert time.monotonic() - start < 2


def test_sdp_that_loops_other_parsers(w):
    s = sock("core")
    for i in range(3):
        s.sendto(invite(300000 + i).replace(
            b"m=audio 29000 RTP/AVP 0 101", b"m=audio 5 X/Y =6"),
            (vip("core"), 5060))
    assert w.ua["core"].request("OPTIONS", f"sip:{vip('core')}",
                                (vip("core"), 5060)).status == 200


def test_ack_for_nothing(w):
    s = sock("core")
    for i in range(50):
        s.sendto(invite(400000 + i).replace(b"INVITE", b"ACK"),
                 (vip("core"), 5060))


def test_responses_to_nothing(w):
    s = sock("core")
    for i in range(200):
        head = b"SIP/2.0 %d X\r\n" % (100 + 3 * i)
        s.sendto(head + invite(500000 + i).split(b"\r\n", 1)[1],
                 (vip("core"), 5060))


def test_oversized_by_udp(w):
    s = sock("core")
    big = invite(600000).replace(
        b"\r\nContact", b"\r\nX-Big: " + b"y" * 60000 + b"\r\nContact")
    for _ in range(5):
        s.sendto(big, (vip("core"), 5060))
    for n in (500, 5000):
        s.sendto(invite(600001).replace(
            b"\r\nContact", b"\r\nVia: SIP/2.0/UDP a" * n + b"\r\nContact")
            [:65000], (vip("core"), 5060))


def connect(side, host=None):
    s = sock(side, socket.SOCK_STREAM, host=host)
    s.connect((vip(side), 5060))
    return s


def closed(s, timeout):
    """The pair closes the connection within this time."""
    s.settimeout(timeout)
    try:
        while s.recv(65536):
            pass
        return True
    except (ConnectionError, BrokenPipeError):
        return True
    except socket.timeout:
        return False


def test_garbage_by_tcp(w):
    rng = random.Random(3)
    for _ in range(50):
        s = connect("core")
        try:
            for _ in range(5):
                s.sendall(rng.randbytes(2000))
        except (ConnectionError, BrokenPipeError):
            pass
        s.close()


def test_oversized_by_tcp(w):
    """A message over the limit closes the connection."""
    s = connect("core")
    head, body = invite(700000).split(b"\r\nContact", 1)
    try:
        s.sendall(head)
        for _ in range(300):
            s.sendall(b"\r\nX-Big: " + b"y" * 1000)
        s.sendall(b"\r\nContact" + body)
    except (ConnectionError, BrokenPipeError):
        pass
    assert closed(s, 5)


def test_split_messages_by_tcp(w):
    """A message in pieces is one message; the rest of one waits."""
    s = connect("core")
    text = (f"OPTIONS sip:{vip('core')} SIP/2.0\r\n"
            "Via: SIP/2.0/TCP 10.10.0.50:5060;branch=z9hG4bKpieces\r\n"
            f"From: <sip:a@10.10.0.50>;tag=1\r\nTo: <sip:{vip('core')}>\r\n"
            "Call-ID: pieces\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n"
            "Content-Length: 0\r\n\r\n").encode()
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for i in range(0, len(text), 7):
        s.sendall(text[i:i + 7])
        time.sleep(0.002)
    assert s.recv(4096).startswith(b"SIP/2.0 200")
    s.close()


def test_many_half_open_connections(w):
    """Connections that say nothing, or never finish, do not stop others: from
    two addresses, from each nearly as many as one may have."""
    socks = []
    for i in range(196):
        s = connect("core", "10.10.0.58" if i < 98 else "10.10.0.57")
        if i % 2:
            s.sendall(invite(800000 + i)[:200])
        socks.append(s)
    assert w.ua["core"].request("OPTIONS", f"sip:{vip('core')}",
                                (vip("core"), 5060),
                                transport="tcp").status == 200
    for s in socks:
        s.close()


# ---- media -----------------------------------------------------------------

def rtp(seq=0, ssrc=1, pt=0):
    return struct.pack(">BBHII", 0x80, pt, seq & 0xffff, seq * 160,
                       ssrc) + bytes(160)


def test_rtp_to_unused_ports(w):
    s, before = sock("core"), counters(w)
    for i in range(2000):
        s.sendto(rtp(i), (vip("core"), 20000 + (37 * i) % 20000))
        if i % 20 == 0:
            time.sleep(0.002)
    wait_for(lambda: grew(before, counters(w), "media_rx_no_flow") > 1000, 5,
             "counted")
    s.settimeout(0.3)
    with pytest.raises(socket.timeout):
        s.recv(100)


def test_rtp_from_a_stranger(w):
    """Packets to a live port from elsewhere reach nobody."""
    s, before = sock("core", host="10.10.0.58"), counters(w)
    call = [c for c in w.lab.sbcctl(w.active, "show", "calls")["calls"]][0]
    shown = str(w.lab.sbcctl(w.active, "show", "call", call["id"]))
    ports = {int(p) for p in re.findall(
        re.escape(vip("core")) + r":(\d{5})", shown)}
    assert ports
    for i in range(300):
        for port in ports:
            s.sendto(rtp(i, ssrc=666), (vip("core"), port))
        time.sleep(0.001)
    wait_for(lambda: grew(before, counters(w), "wrong_source") > 200, 5,
             "counted")
    totals = w.media_totals()
    assert all(t["malformed"] == 0 for t in totals.values()), totals


def test_malformed_media(w):
    rng, s = random.Random(4), sock("core")
    for i in range(1000):
        data = rng.randbytes(rng.choice([0, 1, 3, 11, 12, 13, 50, 1400]))
        s.sendto(data, (vip("core"), 20000 + rng.randrange(2000)))
        if i % 20 == 0:
            time.sleep(0.002)


# ---- control socket, HA links, CPG ------------------------------------------

def control(w, node):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(3)
    s.connect(str(w.lab.root(node) / "run/sbcd/sbcd.sock"))
    return s


@pytest.mark.parametrize("data", [
    b"\0" * 1000, b"{" * 5000 + b"\n", b"{}\n", b"[]\n", b"null\n",
    b'{"cmd": 7}\n', b'{"cmd": "' + b"x" * 100000 + b'"}\n',
    b'{"cmd": "show call", "args": {"id": "' + b"z" * 3000 + b'"}}\n',
    b'{"cmd": "switchover", "args": []}\n', b"\xff\xfe\n" * 300,
    b'{"cmd": "show redundancy"'], ids=range(11))
def test_garbage_on_the_control_socket(w, data):
    for node in NODES:
        for _ in range(5):
            s = control(w, node)
            try:
                s.sendall(data)
                s.settimeout(0.2)
                s.recv(65536)
            except (OSError, socket.timeout):
                pass
            s.close()
        assert w.lab.redundancy(node)
    assert w.settled(5)


def test_many_control_clients(w):
    """Idle clients cannot lock the operator out."""
    node = w.active
    socks = []
    for _ in range(200):
        try:
            socks.append(control(w, node))
        except OSError:
            break
    for s in socks:
        s.close()
    wait_for(lambda: w.lab.redundancy(node), 5, "sbcctl works")


def test_wrong_sbcctl_commands(w):
    node = w.active
    for args in (["show"], ["show", "nonsense"], ["nonsense"],
                 ["show", "call"], ["show", "call", "no-such-call"],
                 ["-o", "xml", "show", "calls"]):
        res = w.lab.run(node, ["sbcctl", *args], check=False)
        assert res.returncode not in (0, 139, 134), args
        assert res.stderr.strip(), args


def test_garbage_on_the_ha_links(w):
    """Beats and forwarded media without the key are refused."""
    rng = random.Random(5)
    s = netns_socket("/run/netns/sbc-w", socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("10.99.1.3", 0))
    for i in range(2000):
        for node in ("10.99.1.1", "10.99.1.2"):
            for port in (5420, 5421):
                s.sendto(rng.randbytes(rng.randrange(1, 300)), (node, port))
        if i % 20 == 0:
            time.sleep(0.002)
    assert w.settled(5)


@pytest.mark.parametrize("where", [0, 1], ids=["active", "standby"])
def test_garbage_on_cpg(w, where):
    node = w.settled()[where]
    roles = w.lab.roles()
    res = w.lab.run(node, ["/usr/bin/python3", HERE / "cpg_garbage.py",
                           "sbcd:edge", "500", str(where)], timeout=60)
    assert "sent 500" in res.stdout, res.stderr
    assert w.lab.roles() == roles
    assert w.settled(10)
