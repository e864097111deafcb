"""The network-namespace lab: a pair of nodes, their switch and their peers.

Everything an instance owns hangs off LAB_DIR (default /run/sbc-lab) and
/run/netns, so an instance started in a private mount namespace with its own
/run is isolated from every other one. Used by the `lab` command and by the
pytest fixtures in lab.py.
"""

import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from tamper import Tamper
from waiting import LabError, wait_for

REPO = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
SBIN = "/usr/sbin:/usr/bin:/sbin:/bin"

SWITCH = "sbc-sw"
BRIDGES = ("ha1", "ha2", "core", "cloud")
NODES = ("sbc-a", "sbc-b")
SERVICES = ("keeper", "guard", "sip", "media", "corosync", "qdevice", "power")
WITNESS = "sbc-w"
TIMING = {
    "fast": {"TOKEN": 200, "CONSENSUS": 60, "JOIN": 30},
    "relaxed": {"TOKEN": 1000, "CONSENSUS": 1200, "JOIN": 60},
    "tight": {"TOKEN": 200, "CONSENSUS": 60, "JOIN": 30},
}
CUSTOM = {"tight": "custom\n\tbeat-ms = 10\n\tsilence-ms = 80\n"
                   "\tlease-ms = 50\n\tcold-start-ms = 5000"}


def _node(num, letter):
    return {
        "id": num,
        "ports": {
            "ha1": {"mac": f"52:54:00:00:0{num}:01",
                    "addr": [f"10.99.1.{num}/24"]},
            "ha2": {"mac": f"52:54:00:00:0{num}:02",
                    "addr": [f"10.99.2.{num}/24"]},
            "core": {"mac": f"52:54:00:00:0{num}:03", "addr": []},
            "cloud": {"mac": f"52:54:00:00:0{num}:04", "addr": []},
        },
        "letter": letter,
        "holder": True,
    }


def _side(name, net, v6, mac):
    addr = [f"{net}.1/24"] + [f"{net}.{i}/24" for i in range(50, 60)]
    addr += [f"{v6}::1/64", f"{v6}::50/64"]
    return {"ports": {name: {"mac": mac, "addr": addr}},
            "letter": name, "holder": False}


HOSTS = {
    "sbc-a": _node(1, "a"),
    "sbc-b": _node(2, "b"),
    "sbc-core": _side("core", "10.10.0", "fd00:10", "52:54:00:00:10:50"),
    "sbc-cloud": _side("cloud", "10.20.0", "fd00:20", "52:54:00:00:20:50"),
    "sbc-w": {"ports": {"ha1": {"mac": "52:54:00:00:03:01",
                                "addr": ["10.99.1.3/24"]}},
              "letter": "w", "holder": True},
}
VIP = {
    "core": {"addr": ["10.10.0.10", "fd00:10::10"],
             "mac": "02:5b:c0:00:01:01"},
    "cloud": {"addr": ["10.20.0.10", "fd00:20::10"],
              "mac": "02:5b:c0:00:01:02"},
}
IPV6_PEER = {"10.10.0.50": "fd00:10::50", "10.20.0.50": "fd00:20::50"}


def port_name(host, nic):
    """Switch port of a host's interface; also the veth's name there."""
    return f"{HOSTS[host]['letter']}-{nic}"


def run(argv, check=True, stdin=None, timeout=30):
    res = subprocess.run(argv, input=stdin, capture_output=True, text=True,
                         timeout=timeout, check=False)
    if check and res.returncode:
        raise LabError(f"{' '.join(map(str, argv))}: exit {res.returncode}: "
                       f"{(res.stderr or res.stdout).strip()}")
    return res


def ip_batch(lines, netns=None):
    argv = ["ip"] + (["-n", netns] if netns else []) + ["-batch", "-"]
    run(argv, stdin="\n".join(lines) + "\n")


def alive(pid):
    """True for a process that runs (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (OSError, TypeError):
        return False


class Lab(Tamper):
    """One instance, kept in LAB_DIR/state.json between invocations."""

    def __init__(self, lab_dir=None):
        self.dir = Path(lab_dir or os.environ.get("LAB_DIR")
                        or "/run/sbc-lab")
        self.state = {}
        if (self.dir / "state.json").exists():
            self.state = json.loads((self.dir / "state.json").read_text())

    # ---- state -----------------------------------------------------------

    @contextmanager
    def locked(self):
        """Serialise commands that change the lab; saves the state after."""
        self.dir.mkdir(parents=True, exist_ok=True)
        with open(self.dir / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (self.dir / "state.json").exists():
                self.state = json.loads(
                    (self.dir / "state.json").read_text())
            try:
                yield
            finally:
                self._save()

    def _save(self):
        if not self.dir.exists() or not self.state:
            return
        tmp = self.dir / "state.json.new"
        tmp.write_text(json.dumps(self.state, indent=1))
        tmp.rename(self.dir / "state.json")

    def _need_up(self):
        if not self.state.get("up"):
            raise LabError("the lab is not up")

    @property
    def build(self):
        return Path(self.state["build"])

    def holder(self, host):
        return self.state.get("holders", {}).get(host)

    def root(self, host):
        """The host's file system as seen from outside."""
        pid = self.holder(host)
        if not pid or not alive(pid):
            raise LabError(f"{host} is not running")
        return Path(f"/proc/{pid}/root")

    def node_dir(self, node):
        return self.dir / node

    # ---- namespaces and wires --------------------------------------------

    def _make_switch(self):
        run(["ip", "netns", "add", SWITCH])
        self._sysctl(SWITCH, {"net.ipv6.conf.all.disable_ipv6": 1,
                              "net.ipv6.conf.default.disable_ipv6": 1})
        lines = ["link set lo up"]
        for br in BRIDGES:
            lines += [f"link add {br} type bridge stp_state 0 "
                      "forward_delay 0 mcast_snooping 0",
                      f"link set {br} up"]
        ip_batch(lines, SWITCH)

    @staticmethod
    def _sysctl(netns, values):
        run(["nsenter", f"--net=/run/netns/{netns}", "sysctl", "-qw"] +
            [f"{k}={v}" for k, v in values.items()])

    def _make_host(self, host):
        info = HOSTS[host]
        run(["ip", "netns", "add", host])
        here, there = ["link set lo up"], []
        for nic, port in info["ports"].items():
            sw = port_name(host, nic)
            there += [f"link add {sw} type veth peer name {nic} "
                      f"address {port['mac']} netns {host}",
                      f"link set {sw} master {nic} up"]
            here += [f"addr add {a} dev {nic} " +
                     ("nodad" if ":" in a else "") for a in port["addr"]]
            here += [f"link set {nic} up"]
        ip_batch(there, SWITCH)
        ip_batch(here, host)
        if info["holder"]:
            self._start_holder(host)

    def _start_holder(self, host):
        """A process that owns the host's mount namespace: its own disk."""
        d = self.node_dir(host)
        binds = {"etc-sbcd": "/etc/sbcd", "etc-corosync": "/etc/corosync",
                 "var-lib-sbcd": "/var/lib/sbcd",
                 "var-lib-corosync": "/var/lib/corosync",
                 "log": "/var/log/corosync"}
        script = ["set -e"]
        for name, target in binds.items():
            (d / name).mkdir(parents=True, exist_ok=True)
            Path(target).mkdir(parents=True, exist_ok=True)
            script.append(f"mount --rbind '{d / name}' {target}")
        script += ["mount -t tmpfs -o mode=755 tmpfs /run",
                   "mkdir -p /run/lock /run/corosync /run/corosync-qdevice "
                   "/run/corosync-qnetd",
                   "mount -t tmpfs tmpfs /dev/shm",
                   "mount -t sysfs sysfs /sys",
                   "mount -t bpf bpf /sys/fs/bpf || :",
                   "hostname " + host,
                   "touch /run/lab-ready",
                   "exec sleep infinity"]
        log = open(d / "holder.log", "w")
        proc = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{host}", "unshare", "-m", "-u",
             "--propagation", "private", "sh", "-c", "\n".join(script)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True)
        log.close()
        self.state.setdefault("holders", {})[host] = proc.pid
        ready = Path(f"/proc/{proc.pid}/root/run/lab-ready")
        wait_for(lambda: ready.exists() or proc.poll() is not None, 5,
                 f"{host}: holder process")
        if proc.poll() is not None:
            raise LabError(f"{host}: holder: " +
                           (d / "holder.log").read_text().strip())

    def _destroy_host(self, host):
        self._kill_all(host, holder_too=True)
        self.state.get("holders", {}).pop(host, None)
        for nic in HOSTS[host]["ports"]:
            run(["ip", "-n", SWITCH, "link", "del", port_name(host, nic)],
                check=False)
        run(["ip", "netns", "del", host], check=False)

    def pids_of(self, host, holder_too=False):
        """Every process in the host's network or mount namespace."""
        keys = set()
        holder = self.holder(host)
        try:
            keys.add(f"net:[{os.stat(f'/run/netns/{host}').st_ino}]")
        except OSError:
            pass
        if holder:
            try:
                keys.add(os.readlink(f"/proc/{holder}/ns/mnt"))
            except OSError:
                pass
        pids = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                found = (os.readlink(f"/proc/{entry}/ns/net") in keys or
                         os.readlink(f"/proc/{entry}/ns/mnt") in keys)
            except OSError:
                continue
            if found and (holder_too or int(entry) != holder):
                pids.append(int(entry))
        return pids

    def _kill_all(self, host, holder_too=False):
        def none_left():
            pids = [p for p in self.pids_of(host, holder_too) if alive(p)]
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not pids
        wait_for(none_left, 5, f"{host}: processes gone", 0.005)

    # ---- files -----------------------------------------------------------

    def _write_files(self, opts):
        conf = Path(opts["conf"]).read_text()
        conf = re.sub(r"(\btiming\s*=\s*)\w+", r"\g<1>" + CUSTOM.get(
            opts["timing"], opts["timing"]), conf)
        if opts["ipv6"]:
            for four, six in IPV6_PEER.items():
                conf = conf.replace(f'host = "{four}"', f'host = "{six}"')
        if opts["witness"]:
            conf = conf.replace("cluster {\n", "cluster {\n\twitness = "
                                f'"{self._witness_address()}"\n', 1)
        cluster_key = secrets.token_hex(32) + "\n"
        authkey = secrets.token_bytes(256)
        for node in NODES:
            d = self.node_dir(node)
            for sub in ("etc-sbcd", "etc-corosync", "log"):
                (d / sub).mkdir(parents=True, exist_ok=True)
            ha, peer = (
                ", ".join('"%s"' % HOSTS[of]["ports"][n]["addr"][0]
                          .split("/")[0] for n in ("ha1", "ha2"))
                for of in (node, *(n for n in NODES if n != node)))
            (d / "etc-sbcd/sbcd.conf").write_text(conf)
            (d / "etc-sbcd/node.conf").write_text(
                "node {\n"
                f"\tname = \"{node}\"\n\tid = {HOSTS[node]['id']}\n"
                "\trun-dir = \"/run/sbcd\"\n"
                "\tstate-dir = \"/var/lib/sbcd\"\n"
                f"\tha-address = {{{ha}}}\n\tha-peer = {{{peer}}}\n}}\n")
            self._secret(d / "etc-sbcd/cluster.key", cluster_key.encode())
            self._secret(d / "etc-corosync/authkey", authkey)
            (d / "etc-corosync/corosync.conf").write_text(
                self._corosync_conf(opts["timing"], opts["witness"]))

    @staticmethod
    def _secret(path, data):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(fd, data)
        os.close(fd)

    @staticmethod
    def _witness_address():
        return HOSTS[WITNESS]["ports"]["ha1"]["addr"][0].split("/")[0]

    @classmethod
    def _corosync_conf(cls, timing, witness):
        words = {"CLUSTER": "edge",
                 "QUORUM": "expected_votes: 2\n\ttwo_node: 1",
                 "WITNESS": cls._witness_address(), "WITNESS_TLS": "off"}
        if witness:
            words["QUORUM"] = (REPO / "conf/corosync-witness.in"
                               ).read_text().strip()
        words.update(TIMING[timing])
        for node in NODES:
            num = HOSTS[node]["id"]
            words[f"NODE{num}_NAME"] = node
            for nic in ("ha1", "ha2"):
                words[f"NODE{num}_{nic.upper()}"] = \
                    HOSTS[node]["ports"][nic]["addr"][0].split("/")[0]
        text = (REPO / "conf/corosync.conf.in").read_text()
        for key, value in words.items():
            text = text.replace(f"@{key}@", str(value))
        body = re.sub(r"#.*", "", text)
        left = re.search(r"@\w+@", body)
        if left:
            raise LabError(f"corosync.conf.in: {left.group()} has no value")
        return text

    # ---- commands --------------------------------------------------------

    def up(self, build="build", conf=None, timing="fast", ipv6=False,
           daemon=True, wait=True, hooks=False, witness=False,
           binaries=None, clocks=False, cdr_disk=False):
        """hooks: run the binary that crashes on demand. binaries: {node:
        the sbcd it runs}, this build's where it names none. clocks,
        cdr_disk: what tamper.py needs."""
        if self.state.get("up"):
            raise LabError("the lab is already up (lab down first)")
        opts = {"timing": timing, "ipv6": ipv6, "witness": witness,
                "conf": str(Path(conf or HERE / "sbcd.conf").resolve())}
        for name in (SWITCH, *HOSTS):
            if Path(f"/run/netns/{name}").exists():
                raise LabError(f"namespace {name} exists already: another "
                               "lab? (lab down, or use a private /run)")
        self.state = {"build": str((REPO / build).resolve()), **opts,
                      "clocks": clocks, "cdr-disk": cdr_disk,
                      "sbcd": "hooks/bin/sbcd" if hooks else "bin/sbcd",
                      "binaries": {n: os.path.abspath(b) for n, b in
                                   (binaries or {}).items()},
                      "holders": {}, "pids": {}, "cuts": [], "off": []}
        with self.locked():
            self._make_switch()
            for node in NODES:
                self._make_disks(node)
            for host in HOSTS:
                self._make_host(host)
            self._write_files(opts)
            self.state["up"] = True
            self._start_witness()
            self._start_corosync(*NODES)
            wait_for(lambda: all(len(self.members(n)) == 2 for n in NODES),
                     15, "corosync membership of both nodes")
            if witness:
                wait_for(lambda: all(self.votes(n) for n in NODES), 20,
                         "the witness's vote on both nodes", 0.1)
            if daemon and self.has_daemon():
                self._start_sbcd(*NODES)
        if daemon and wait and self.has_daemon():
            wait_for(self.settled, 20, "one ACTIVE and one STANDBY in sync",
                     0.05)

    def down(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        for host in HOSTS:
            self._destroy_host(host)
        self._kill_all(SWITCH)
        run(["ip", "netns", "del", SWITCH], check=False)
        for node in NODES:
            self._remove_disks(node)
        shutil.rmtree(self.dir, ignore_errors=True)
        self.state = {}

    def has_daemon(self):
        return (self.build / "bin/sbcd").exists()

    def argv(self, host, cmd):
        """The command line that runs cmd inside the host."""
        if host not in HOSTS and host != SWITCH:
            raise LabError(f"no such node: {host}")
        path = f"PATH={self.build}/bin:{SBIN}"
        holder = self.holder(host)
        if holder:
            enter = ["nsenter", "-t", str(holder), "-m", "-n", "-u",
                     f"--wd={os.getcwd()}"]
        elif host in self.state.get("off", []):
            raise LabError(f"{host} has no power")
        else:
            enter = ["nsenter", f"--net=/run/netns/{host}"]
        return enter + ["env", path, *map(str, cmd)]

    def popen(self, host, cmd, log, **kwargs):
        """Start a long-running program; its output goes to the file log."""
        kwargs = {"stdin": subprocess.DEVNULL, **kwargs}
        with open(log, "a") as out:
            return subprocess.Popen(self.argv(host, cmd), stdout=out,
                                    stderr=out, start_new_session=True, **kwargs)

    def run(self, host, cmd, check=True, timeout=30):
        return run(self.argv(host, cmd), check=check, timeout=timeout)

    def _spawn_service(self, node, what, argv, log):
        """Start a service unless it runs; returns its process or None."""
        if alive(self.pid_of(node, what)):
            return None
        proc = self.popen(node, argv, self.node_dir(node) / log)
        self.state["pids"][f"{node}/{what}"] = proc.pid
        return proc

    def _start_witness(self):
        if self.state["witness"]:
            self._spawn_service(
                WITNESS, "qnetd",
                ["corosync-qnetd", "-f", "-4", "-s", "off"], "qnetd.log")

    def votes(self, node):
        """Does corosync count the witness's vote on this node?"""
        try:
            res = self.run(node, ["corosync-quorumtool", "-s"], check=False)
        except LabError:
            return False
        return re.search(rf"^\s*{HOSTS[node]['id']}\s+\d+\s+A,V,",
                         res.stdout, re.M)

    def _start_corosync(self, *nodes):
        procs = {n: self._spawn_service(n, "corosync", ["corosync", "-f"],
                                        "corosync.stderr") for n in nodes}
        for node, proc in procs.items():
            self._await(node, proc, lambda n=node: self.members(n), 15,
                        "corosync", self.node_dir(node) /
                        "log/corosync.log")
        if self.state["witness"]:
            for node in nodes:
                self._spawn_service(node, "qdevice",
                                    ["corosync-qdevice", "-f"],
                                    "qdevice.log")

    def _start_sbcd(self, *nodes, wait=True):
        procs = {n: self._spawn_service(n, "keeper", self.sbcd_argv(n),
                                        "sbcd.log") for n in nodes}
        for node, proc in procs.items() if wait else ():
            self._await(node, proc, lambda n=node: self.redundancy(n), 10,
                        "sbcd", self.node_dir(node) / "sbcd.log")

    @staticmethod
    def _await(node, proc, answers, timeout, what, log):
        """Until a service that was started answers; LabError if it ends."""
        wait_for(lambda: answers() or (proc and proc.poll() is not None),
                 timeout, f"{node}: {what} answers: see {log}", 0.05)
        if proc and proc.poll() is not None:
            tail = (log.read_text(errors="replace")[-2000:]
                    if log.exists() else "")
            raise LabError(f"{node}: {what}: exit {proc.returncode}: {tail}")

    def start(self, *nodes, what=None, wait=True):
        """Boot nodes without power, or start what is not running on them.

        Without wait sbcd is still starting when this returns.
        """
        self._need_up()
        if nodes == (WITNESS,):
            with self.locked():
                self._start_witness()
            return
        for node in nodes:
            self._check_node(node)
        with self.locked():
            for node in nodes:
                if node in self.state["off"]:
                    self._boot(node)
            if what in (None, "corosync"):
                self._start_corosync(*nodes)
            if what in (None, "keeper") and self.has_daemon():
                self._start_sbcd(*nodes, wait=wait)

    def _boot(self, node):
        """A fresh namespace with what was on the node's disk."""
        self._destroy_host(node)
        for key in [k for k in self.state["pids"]
                    if k.startswith(node + "/")]:
            del self.state["pids"][key]
        self.state["off"].remove(node)
        self._make_host(node)
        self._carrier_all()

    def stop(self, node, what=None):
        """Orderly stop: sbcd first, then corosync."""
        self._need_up()
        self._check_node(node)
        for name in ("keeper", "qdevice", "corosync"):
            pid = self.pid_of(node, name)
            if what not in (None, name) or not alive(pid):
                continue
            os.kill(pid, signal.SIGTERM)
            wait_for(lambda p=pid: not alive(p), 10,
                     f"{node}: {name} stops")

    def pid_of(self, node, what):
        """Process id of a service of a node, or None."""
        if what in ("corosync", "qdevice", "qnetd"):
            return self.state["pids"].get(f"{node}/{what}")
        name = "sbcd" if what == "keeper" else what
        try:
            text = (self.root(node) / f"run/sbcd/{name}.pid").read_text()
            return int(text.split()[0])
        except (OSError, LabError, ValueError, IndexError):
            return (self.state["pids"].get(f"{node}/keeper")
                    if what == "keeper" else None)

    def kill(self, node, what):
        """Sudden death; returns when it happened (monotonic clock)."""
        self._need_up()
        if (node, what) != (WITNESS, "qnetd"):
            self._check_node(node)
        if what == "power":
            return self._kill_power(node)
        if what not in (*SERVICES, "qnetd"):
            raise LabError(f"cannot kill {what}: one of {SERVICES}")
        pid = self.pid_of(node, what)
        if not alive(pid):
            raise LabError(f"{node}: {what} is not running")
        before = time.monotonic_ns()
        os.kill(pid, signal.SIGKILL)
        return {"node": node, "what": what, "pid": pid, "t_ns": before,
                "t_end_ns": time.monotonic_ns()}

    def _kill_power(self, node):
        """All links silent in one transaction, then nobody survives.

        The drop sits in the node's own namespace, on every way in and out:
        the switch sees no frame more, not even the resets a dying process
        leaves, and what it has learned stays learned, as with a real VM.
        """
        rules = "".join(
            f" chain {nic}_{way} {{ type filter hook {hook} device "
            f'"{nic}" priority -500; policy drop; }}\n'
            for nic in HOSTS[node]["ports"]
            for way, hook in (("in", "ingress"), ("out", "egress")))
        with self.locked():
            if node in self.state["off"]:
                raise LabError(f"{node} has no power already")
            self.state["off"].append(node)
            before = time.monotonic_ns()
            run(["nsenter", f"--net=/run/netns/{node}", "nft", "-f", "-"],
                stdin=f"table netdev labpower {{\n{rules}}}\n")
            silent = time.monotonic_ns()
            self._kill_all(node, holder_too=True)
            self.state["holders"].pop(node, None)
        return {"node": node, "what": "power", "t_ns": before,
                "t_end_ns": silent, "t_dead_ns": time.monotonic_ns()}

    # ---- cuts ------------------------------------------------------------

    def _parse_cut(self, what):
        """NODE[:IF[:in|out|peer|carrier|loss=N]] -> (host, [nics], kind)."""
        host, nic, kind = (what.split(":") + ["", ""])[:3]
        if host not in HOSTS:
            raise LabError(f"no such node: {host}")
        nics = list(HOSTS[host]["ports"])
        if nic and nic not in nics:
            raise LabError(f"{host} has no interface {nic}")
        if kind and not re.fullmatch(r"in|out|peer|carrier|loss=\d{1,3}",
                                     kind):
            raise LabError(f"cannot cut {kind}: in, out, peer, carrier, "
                           "loss=N")
        return host, [nic] if nic else nics, kind or "both"

    def cut_rules(self):
        """One atomic ruleset from the list of cuts."""
        inp, fwd = [], []
        for what in self.state["cuts"]:
            host, nics, kind = self._parse_cut(what)
            for nic in nics:
                port = port_name(host, nic)
                loss = re.fullmatch(r"loss=(\d+)", kind)
                drop = "counter drop"
                if loss:
                    drop = f"numgen random mod 100 < {loss[1]} {drop}"
                if kind == "peer" and host in NODES:
                    other = port_name(next(n for n in NODES if n != host),
                                      nic)
                    fwd += [f'iifname "{port}" oifname "{other}" {drop}',
                            f'iifname "{other}" oifname "{port}" {drop}']
                if kind in ("both", "out") or loss:
                    inp.append(f'iifname "{port}" {drop}')
                if kind in ("both", "in") or loss:
                    fwd.append(f'oifname "{port}" {drop}')
        return ("table bridge labcut\ndelete table bridge labcut\n"
                "table bridge labcut {\n"
                " chain from_port { type filter hook prerouting priority "
                "-300;\n" + "".join(f"  {r}\n" for r in inp) + " }\n"
                " chain to_port { type filter hook forward priority -300;\n"
                + "".join(f"  {r}\n" for r in fwd) + " }\n}\n")

    def _apply_cuts(self):
        run(["nsenter", f"--net=/run/netns/{SWITCH}", "nft", "-f", "-"],
            stdin=self.cut_rules())

    def _carrier(self, what, up):
        host, nics, kind = self._parse_cut(what)
        if kind == "carrier":
            ip_batch([f"link set {port_name(host, n)} "
                      f"{'up' if up else 'down'}" for n in nics], SWITCH)

    def _carrier_all(self):
        """A fresh port gets the carrier cuts that hold for it."""
        for what in self.state["cuts"]:
            self._carrier(what, up=False)

    def cut(self, what):
        self._need_up()
        self._parse_cut(what)
        with self.locked():
            if what not in self.state["cuts"]:
                self.state["cuts"].append(what)
            before = time.monotonic_ns()
            self._apply_cuts()
            self._carrier(what, up=False)
        return {"what": what, "t_ns": before,
                "t_end_ns": time.monotonic_ns()}

    def heal(self, what):
        """Undo one cut, all cuts of a NODE, or `all`."""
        self._need_up()
        with self.locked():
            gone = [c for c in self.state["cuts"]
                    if what in ("all", c) or c.startswith(what + ":")]
            if not gone and what != "all":
                raise LabError(f"{what} is not cut")
            self.state["cuts"] = [c for c in self.state["cuts"]
                                  if c not in gone]
            self._apply_cuts()
            for c in gone:
                self._carrier(c, up=True)
        return {"what": what, "healed": gone, "t_ns": time.monotonic_ns()}

    # ---- questions -------------------------------------------------------

    def _check_node(self, node):
        if node not in NODES:
            raise LabError(f"no such node: {node} (one of {NODES})")

    def members(self, node):
        """Node ids in corosync's membership as this node sees it."""
        try:
            res = self.run(node, ["corosync-quorumtool", "-l"], check=False)
        except LabError:
            return []
        return [int(m) for m in
                re.findall(r"^\s*(\d+)\s+\d+\s+\S", res.stdout, re.M)]

    def sbcctl(self, node, *args, check=True, timeout=20):
        """Decoded JSON of `sbcctl -o json ARGS` on the node."""
        res = self.run(node, ["sbcctl", "-o", "json", *args], check=check,
                       timeout=timeout)
        try:
            return json.loads(res.stdout)
        except ValueError:
            if check:
                raise LabError(f"{node}: sbcctl {' '.join(args)}: no JSON: "
                               f"{res.stdout[:200]!r}") from None
            return None

    def redundancy(self, node):
        """`show redundancy`, or None when nobody answers."""
        try:
            return self.sbcctl(node, "show", "redundancy", check=False)
        except (LabError, subprocess.TimeoutExpired):
            return None

    def roles(self):
        return {n: (self.redundancy(n) or {}).get("role") for n in NODES}

    def settled(self):
        """(active, standby) once there is exactly one of each, in sync."""
        seen = {n: self.redundancy(n) for n in NODES}
        if not all(seen.values()):
            return None
        roles = {r.get("role"): n for n, r in seen.items()}
        if set(roles) != {"ACTIVE", "STANDBY"}:
            return None
        if not all(r.get("in-sync") for r in seen.values()):
            return None
        return roles["ACTIVE"], roles["STANDBY"]

    def active(self):
        for node, role in self.roles().items():
            if role == "ACTIVE":
                return node
        return None

    def switchover(self, force=False):
        self._need_up()
        node = self.active()
        if not node:
            raise LabError("no active node")
        before = time.monotonic_ns()
        args = ["switchover"] + (["--force"] if force else [])
        self.run(node, ["sbcctl", *args])
        return {"from": node, "t_ns": before,
                "t_end_ns": time.monotonic_ns()}

    def status(self):
        self._need_up()
        out = {}
        for node in NODES:
            off = node in self.state["off"]
            red = None if off else self.redundancy(node)
            out[node] = {
                "power": not off,
                "members": [] if off else self.members(node),
                "role": (red or {}).get("role"),
                "in-sync": (red or {}).get("in-sync"),
                "processes": {
                    w: (p if alive(p) else None)
                    for w in SERVICES if w != "power"
                    for p in [None if off else self.pid_of(node, w)]},
            }
        out["cuts"] = self.state["cuts"]
        return out

    def env(self):
        """Everything a test or a script needs to find its way."""
        self._need_up()
        hosts = {}
        for name, info in HOSTS.items():
            d = self.node_dir(name)
            host = {
                "netns": f"/run/netns/{name}",
                "interfaces": {
                    nic: {**p, "switch": SWITCH, "bridge": nic,
                          "port": port_name(name, nic)}
                    for nic, p in info["ports"].items()},
                "holder": self.holder(name),
            }
            if name in NODES:
                host.update({
                    "id": info["id"],
                    "root": f"/proc/{self.holder(name)}/root"
                            if self.holder(name) else None,
                    "log": str(d / "sbcd.log"),
                    "corosync-log": str(d / "log/corosync.log"),
                    "config": str(d / "etc-sbcd/sbcd.conf"),
                    "node-config": str(d / "etc-sbcd/node.conf"),
                    "corosync-config":
                        str(d / "etc-corosync/corosync.conf"),
                    "state-dir": str(d / "var-lib-sbcd"),
                    "socket": "/run/sbcd/sbcd.sock",
                    "pids": {w: self.pid_of(name, w)
                             for w in SERVICES if w != "power"},
                })
            hosts[name] = host
        return {"lab-dir": str(self.dir), "build": str(self.build),
                "switch": {"netns": f"/run/netns/{SWITCH}",
                           "bridges": list(BRIDGES)},
                "vip": VIP, "hosts": hosts, "cuts": self.state["cuts"]}
