"""What must hold after every test: nothing leaks, nothing shows through."""

import json
import re

from lab import NODES, wait_for

# What each side may never see of the other one, and nobody of the HA links.
FOREIGN = {"core": (r"10\.20\.0\.", r"fd00:20:"),
           "cloud": (r"10\.10\.0\.", r"fd00:10:")}
PRIVATE = (r"10\.99\.", r"sbc-a", r"sbc-b")
# Values a party has made up for its own dialog.
OWN = ("call_id", "from_tag", "branch")


def side_of(ua):
    return ua.name.split("-")[0]


def topology_hidden(world):
    """No message shows an address, tag, branch or Call-ID of the far side."""
    made = {"core": set(), "cloud": set()}
    for ua in world.ua.values():
        for entry in list(ua.log):
            if entry.sent and entry.msg.method == "INVITE":
                made[side_of(ua)] |= {getattr(entry.msg, n) for n in OWN}
            elif entry.sent and entry.msg.to_tag:
                made[side_of(ua)].add(entry.msg.to_tag)
    for ua in world.ua.values():
        mine = side_of(ua)
        other = made["cloud" if mine == "core" else "core"]
        # What the caller itself sent comes back in its own dialog.
        other = other - made[mine] - {None}
        for entry in list(ua.log):
            if entry.sent:
                continue
            text = str(entry.msg)
            for pattern in FOREIGN[mine] + PRIVATE:
                assert not re.search(pattern, text), \
                    f"{ua.name} sees {pattern}:\n{text}"
            for value in other:
                assert value not in text, f"{ua.name} sees {value}:\n{text}"


def sane(world):
    """Rules every message from the pair obeys (RFC 3261 section 8.1.1)."""
    for ua in world.ua.values():
        assert not ua.errors, (ua.name, ua.errors)
        for entry in list(ua.log):
            if entry.sent:
                continue
            msg = entry.msg
            for name in ("Via", "From", "To", "Call-ID", "CSeq"):
                assert len(msg.all(name)) >= 1, (name, str(msg))
            if msg.is_request:
                assert msg.branch.startswith("z9hG4bK"), str(msg)
                assert 0 < int(msg.get("Max-Forwards", 0)) <= 70, str(msg)
                assert msg.from_tag, str(msg)
            if msg.method == "INVITE" or (msg.status == 200 and
                                          msg.cseq[1] == "INVITE"):
                assert msg.get("Contact"), str(msg)


def sockets(world, node):
    """How many sockets a node has, as the kernel counts them."""
    out = world.lab.run(node, ["ss", "-H", "-a", "-n", "-t", "-u", "-w",
                               "-e"]).stdout
    kinds = {}
    for line in out.splitlines():
        field = line.split()
        if field[1] in ("TIME-WAIT", "FIN-WAIT-1", "FIN-WAIT-2",
                        "LAST-ACK", "CLOSING"):
            continue
        kinds[field[0], field[1]] = kinds.get((field[0], field[1]), 0) + 1
    return kinds


def map_entries(world, node):
    """Entries of each BPF map the node's processes hold."""
    out = {}
    for what in ("keeper", "media"):
        pid = world.lab.pid_of(node, what)
        fds = world.lab.run(
            node, ["sh", "-c", f"grep -h map_id /proc/{pid}/fdinfo/* "
                   "2>/dev/null || true"]).stdout
        for num in set(re.findall(r"map_id:\s+(\d+)", fds)):
            res = world.lab.run(node, ["bpftool", "-j", "map", "dump", "id",
                                       num], check=False)
            if res.returncode == 0:
                out[num] = len(json.loads(res.stdout))
    return out


def pss_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M)[1])


def footprint(world):
    """What a call could leave behind on each running node."""
    return {node: {"sockets": sockets(world, node),
                   "maps": map_entries(world, node),
                   "fds": {w: fds(world.lab.pid_of(node, w))
                           for w in ("keeper", "sip", "media")},
                   "pss": {w: pss_kb(world.lab.pid_of(node, w))
                           for w in ("keeper", "sip", "media")}}
            for node in NODES if world.lab.redundancy(node)}


def fds(pid):
    import os
    return len(os.listdir(f"/proc/{pid}/fd"))


def nothing_left(world, before=None, timeout=45):
    """No call, leg, flow, port, socket or map entry remains."""
    world.assert_no_calls(timeout)
    for node in NODES:
        if not world.lab.redundancy(node):
            continue
        wait_for(lambda n=node: not leftovers(world, n), timeout,
                 f"{node} is empty: {leftovers(world, node)}", 0.2)
    if before is None:
        return
    for node, was in before.items():
        def same(n=node, w=was):
            now = footprint(world)[n]
            return all(now[k] == w[k] for k in ("maps", "fds")) and \
                now["sockets"] == w["sockets"]
        wait_for(same, timeout,
                 f"{node}: {footprint(world)[node]} as before: {was}", 0.5)
        for what, pss in footprint(world)[node]["pss"].items():
            assert pss < 1.5 * was["pss"][what] + 8192, \
                f"{node} {what}: PSS {was['pss'][what]} -> {pss} KB"


def leftovers(world, node):
    """Records that belong to calls and are still there."""
    records = world.lab.sbcctl(node, "show", "redundancy")["records"]
    return {k: v for k, v in records.items()
            if k in ("call", "dialog", "txn", "media", "mstate") and v}


def one_owner(observer, limit_ms=0):
    """The virtual MACs never had two users at once."""
    for mac, ms in observer.double_active_ms().items():
        assert ms <= limit_ms, f"{mac} was double-active for {ms} ms"
