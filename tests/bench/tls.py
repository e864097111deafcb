#!/usr/bin/env python3
"""`make bench-tls`: what a flood of TLS handshakes does to SIP.

OPTIONS by UDP on one network and on an open TLS connection on the other, each
answered by the active node, beside no flood and beside floods of handshakes on
new connections: with a good certificate, with none (refused after the
certificate was asked for), and of bytes that are no TLS. Everything shares
this machine; the flooder runs with the lowest priority, for it would take the
CPU the node needs. Arrival by UDP is the kernel's time stamp, by TLS what this
program sees.

usage: tls.py [--build DIR] [--rate N] [--seconds N] [--limit-ms N]
"""
import argparse
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/lab"), str(TOP / "tests/peers"),
                str(TOP / "tests/bench")]
SO_TIMESTAMPNS = 35
FLOODERS = [f"10.20.0.{i}" for i in (1, 53, 54, 55, 56, 57, 58, 59)]


def percentile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))]


def options(side, transport, n):
    vip = {"core": "10.10.0.10", "cloud": "10.20.0.10"}[side]
    own = {"core": "10.10.0.50:5099", "cloud": "10.20.0.52:5061"}[side]
    return (f"OPTIONS sip:{vip} SIP/2.0\r\n"
            f"Via: SIP/2.0/{transport} {own};branch=z9hG4bKb{n};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\n"
            f"To: <sip:{vip}>\r\nCall-ID: {n}\r\n"
            "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n").encode()


class Udp(threading.Thread):
    """One every 10 ms; sent when it is due, whatever is still unanswered."""

    def __init__(self, sock):
        super().__init__(daemon=True)
        self.sock, self.sent, self.ms, self.end = sock, {}, [], False
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    def run(self):
        n, due = 0, time.monotonic()
        while not self.end:
            n, due = n + 1, due + 0.01
            key = f"u{time.time_ns()}"
            message = options("core", "UDP", key)
            self.sent[key] = time.time_ns()
            self.sock.sendto(message, ("10.10.0.10", 5060))
            while (left := due - time.monotonic()) > 0:
                self.take(left)
        self.take(1)

    def take(self, timeout):
        self.sock.settimeout(timeout)
        try:
            data, anc, _, _ = self.sock.recvmsg(4096, 256)
        except socket.timeout:
            return
        key = data.split(b"Call-ID: ")[1].split(b"\r\n")[0].decode()
        [at] = [struct.unpack("qq", d[:16]) for _, t, d in anc
                if t == SO_TIMESTAMPNS]
        sent = self.sent.pop(key, None)
        if sent and data.startswith(b"SIP/2.0 200"):
            self.ms.append((at[0] * 10**9 + at[1] - sent) / 1e6)


class Stream(threading.Thread):
    """One after the other on one connection, 50 a second at most."""

    def __init__(self, sock):
        super().__init__(daemon=True)
        self.sock, self.ms, self.end, self.sent = sock, [], False, {}

    def run(self):
        n = 0
        while not self.end:
            n += 1
            began = time.monotonic()
            self.sock.sendall(options("cloud", "TLS", f"t{time.time_ns()}"))
            assert self.sock.recv(4096).startswith(b"SIP/2.0 200")
            took = time.monotonic() - began
            self.ms.append(1000 * took)
            time.sleep(max(0, 0.02 - took))


def measure(world, name, seconds, flood):
    """(percentiles by UDP, by TLS) of one phase, printed."""
    from lab import SIDES
    from sipua import netns_socket
    from test_tls import SBC
    udp = netns_socket(f"/run/netns/{SIDES['core']}", socket.AF_INET,
                       socket.SOCK_DGRAM)
    udp.bind(("10.10.0.50", 5099))
    tcp = netns_socket(f"/run/netns/{SIDES['cloud']}", socket.AF_INET,
                       socket.SOCK_STREAM)
    tcp.bind(("10.20.0.52", 0))
    tcp.connect(("10.20.0.10", 5061))
    tls = world.tls.client().wrap_socket(tcp, server_hostname=SBC)
    proc = None
    if flood:
        argv = world.lab.argv(SIDES["cloud"], ["nice", "-n", "19", "tlsflood",
                                               *flood, *FLOODERS])
        proc = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        # Its own end ends the wait.
        assert proc.stdout.readline() == "steady\n"
    pid = world.lab.pid_of(world.active, "sip")
    cpu, meters = cpu_s(pid), [Udp(udp), Stream(tls)]
    for m in meters:
        m.start()
    time.sleep(seconds)
    cpu = cpu_s(pid) - cpu
    for m in meters:
        m.end = True
        m.join()
    did = json.loads(proc.stdout.read()) if proc else {}
    if proc:
        proc.wait()
    for sock in (udp, tls):
        sock.close()
    lost = len(meters[0].sent)
    row = [percentile(m.ms, q) for m in meters for q in (0.5, 0.99)]
    print(f"| {name} | " + " | ".join(f"{v:.2f}" for v in row) +
          f" | {max(meters[0].ms):.1f} | {lost} | {100 * cpu / seconds:.0f} % "
          f"| {did.get('done', 0)} / {did.get('refused', 0)} / "
          f"{sum(did.get(k, 0) for k in ('failed', 'expired', 'skipped'))} |",
          flush=True)
    return row


def cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def workshop(directory):
    """RSA of 2048 bits on both sides: what signs slowest of what is used."""
    from certs import Workshop, for_the_workers, rsa
    from test_tls import PEER, SBC
    shop = Workshop(directory)
    both = "serverAuth,clientAuth"
    shop.root = shop.make("root", ca=True, key=rsa())
    between = shop.make("between", shop.root, ca=True, key=rsa())
    shop.sbc = shop.make("sbc", between, names=[SBC], eku=both, key=rsa())
    shop.cloud = shop.make("cloud", between, names=[PEER["cloud"]], eku=both,
                           key=rsa())
    for_the_workers(shop.sbc)
    return shop


def phases(rate, seconds, shop):
    to = [str(rate), str(seconds + 2), "10.20.0.10", "5061"]
    return [("none", None),
            (f"{rate}/s, good", to + [str(shop.cloud.pem),
                                      str(shop.cloud.key)]),
            (f"{rate}/s, no certificate", to + ["-", "none"]),
            (f"{rate}/s, no TLS", to + ["-", "junk"]),
            ("none", None)]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--build", default="build")
    ap.add_argument("--rate", type=int, default=500)
    ap.add_argument("--seconds", type=int, default=20)
    ap.add_argument("--limit-ms", type=float, default=20)
    args = ap.parse_args()
    from gap import own_run
    own_run()
    os.environ["SBC_BUILD"] = str((TOP / args.build).resolve())
    from lab import World
    from test_tls import SBC, config
    from tlspeer import Tls
    with tempfile.TemporaryDirectory(prefix="sbc-tls-") as tmp:
        os.chmod(tmp, 0o755)
        shop = workshop(Path(tmp) / "certs")
        conf = Path(tmp) / "sbcd.conf"
        conf.write_text(config(shop, ping=0))
        world = World(tmp, conf=str(conf))
        try:
            world.tls = Tls(shop.cloud, [shop.root], SBC)
            world.settled(30)
            print("| flood of handshakes | UDP p50, ms | UDP p99 | TLS p50 | "
                  "TLS p99 | UDP max | unanswered | CPU of SIP worker | "
                  "done / refused / other |\n|---|---|---|---|---|---|---|---|"
                  "---|", flush=True)
            rows = [measure(world, name, args.seconds, flood)
                    for name, flood in phases(args.rate, args.seconds, shop)]
        finally:
            world.close()
    quiet = [min(rows[0][i], rows[-1][i]) for i in (1, 3)]
    worst = max(row[i] - q for row in rows[1:-1]
                for i, q in ((1, quiet[0]), (3, quiet[1])))
    print(f"p99 rises by {worst:.1f} ms at most (limit {args.limit_ms:g})")
    return int(worst > args.limit_ms)


if __name__ == "__main__":
    sys.exit(main())
