"""Call detail records against what the parties of the calls know.

Read from the nodes' files, never asked of the nodes. Each call of the load
has one record on each node, the same on both, and no record is of no call.
"""

import csv
import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

# Failovers that a node remembers (FLIGHT_REPORTS_MAX); a call counts no more.
HISTORY = 128
# Times in records are the pair's; what a run puts its clocks off by is
# followed at a tenth of the speed for some seconds.
SLACK_S = 3.0
SHOWN = 8
SAME = ("id", "start", "answer", "end", "status", "ended_by", "failovers")


@dataclass
class Expected:
    """What became of a call, as its parties know it."""
    kind: str
    status: int = 200
    ended_by: str = "caller"


def read(directory, kind):
    """Every record in a node's files, as dictionaries."""
    out = []
    for path in sorted(directory.glob(f"cdr*.{kind}")):
        text = path.read_text(errors="replace")
        if kind == "jsonl":
            out += [json.loads(line) for line in text.splitlines()]
        else:
            out += [r for r in csv.DictReader(text.splitlines())
                    if r["id"] != "id"]
    return out


def call_id(record):
    return record["legs"][0]["call_id"]


def seconds(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def once(node, records, lines):
    """An id once in each file, and a call once whatever its ids are."""
    for what, seen in (("id", Counter(r["id"] for r in records)),
                       ("id in CSV", Counter(r["id"] for r in lines)),
                       ("call", Counter(map(call_id, records)))):
        for word, n in seen.items():
            if n > 1:
                yield f"{node}: {n} records of {what} {word}"
    odd = {r["id"] for r in records} ^ {r["id"] for r in lines}
    if odd:
        yield (f"{node}: {len(odd)} records in one of JSON and CSV only: "
               f"{sorted(odd)[:SHOWN]}")


def complete(node, records, expected, allowed):
    """One for each call, with its end; allowed: {kind: calls of which even
    the parties do not know what became of them}."""
    have = {call_id(r): r for r in records}
    bad = {}
    for cid, want in expected.items():
        got = have.get(cid)
        if not got:
            bad.setdefault(want.kind, []).append(f"no record of {cid}")
        elif (got["status"], got["ended_by"]) != (want.status,
                                                  want.ended_by):
            bad.setdefault(want.kind, []).append(
                f"{cid}: {got['status']} by {got['ended_by']}, not "
                f"{want.status} by {want.ended_by}: {json.dumps(got)[:900]}")
    for kind, texts in bad.items():
        if len(texts) > allowed.get(kind, 0):
            yield from (f"{node}: {kind}: {t}" for t in texts[:SHOWN])
            yield (f"{node}: {kind}: {len(texts)} such calls, "
                   f"{allowed.get(kind, 0)} allowed")
    for cid in list(set(have) - set(expected))[:SHOWN]:
        yield f"{node}: a record of no call: {json.dumps(have[cid])[:900]}"


def crossings(node, records, windows):
    """Each has counted the failovers that it was up through."""
    for r in records:
        if not r["answer"]:
            continue
        from_s, to_s = seconds(r["start"]) + SLACK_S, seconds(r["end"])
        least = min(HISTORY, sum(from_s < a and b < to_s - SLACK_S
                                 for a, b in windows))
        if r["failovers"] < least:
            yield (f"{node}: {call_id(r)} was up through {least} failovers "
                   f"and says {r['failovers']}")


def agree(records):
    """Both nodes say the same of each call; records: {node: list}."""
    (a, left), (b, right) = records.items()
    other = {r["id"]: r for r in right}
    for r in left:
        o = other.pop(r["id"], None)
        if not o:
            yield f"only {a} has {r['id']} of {call_id(r)}"
        elif any(r[k] != o[k] for k in SAME):
            yield (f"{a} and {b} differ: " + ", ".join(
                f"{k} {r[k]}/{o[k]}" for k in SAME if r[k] != o[k])
                + f" of {call_id(r)}")
    for o in other.values():
        yield f"only {b} has {o['id']} of {call_id(o)}"


def judge(directories, expected, allowed, windows):
    """Everything that is wrong, as text; directories: {node: path}."""
    records = {}
    for node, path in directories.items():
        records[node] = read(path, "jsonl")
        yield from once(node, records[node], read(path, "csv"))
        yield from complete(node, records[node], expected, allowed)
        yield from list(crossings(node, records[node], windows))[:SHOWN]
    yield from list(agree(records))[:SHOWN]
