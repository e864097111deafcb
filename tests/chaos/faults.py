"""What can go wrong with a pair, as lists of steps anybody can carry out.

A plan is drawn from a random generator and names roles, not nodes, so that a
seed stands for the same run on every machine. A step is a tuple; the target
(the lab's LabTarget in chaos.py, a deployed pair in sbc-chaos) has a method
of that name:

  kill ROLE WHAT            kill -9; WHAT: keeper guard sip media corosync
                            qdevice; of the ROLE witness: qnetd
  freeze ROLE WHAT SECONDS  SIGSTOP, later SIGCONT; also WHAT: sbcd node
  power ROLE                sudden death of the whole node
  boot ROLE [nowait]        power it on again and start everything
  start ROLE                start what is not running
  stop ROLE                 orderly stop
  cut ROLE NIC KIND         KIND: both in out carrier loss=PERCENT
  heal                      undo every cut
  fill ROLE                 the disk for CDRs is full
  free ROLE                 and has room again
  clock ROLE SECONDS        set the wall clock that far off the true time
  switchover                planned
  wait SECONDS

The fault model stands in README beside this file; every plan keeps to it.
"""

import random
from dataclasses import dataclass, field

PROCESSES = ("keeper", "guard", "sip", "media", "corosync")
NICS = {"ha": ("ha1", "ha2"), "service": ("core", "cloud")}

# Bounds of the media gap in ms, as documented, doubled for machines that are
# busy; what the machine itself stalled meanwhile is added by the observer.
CRASH_MS = 600
KEEPER_MS = 400
MEDIA_MS = 1000
PLANNED_MS = 200
QUIET_MS = 200


@dataclass
class Fault:
    kind: str
    steps: list
    gap_ms: int
    crash: bool = False       # the active node is meant to lose its role
    lossless: bool = False    # not one packet may be lost
    text: str = field(default="")

    def __post_init__(self):
        self.text = self.text or ", ".join(
            " ".join(map(str, s)) for s in self.steps)


def _seconds(rng, low=0.1, high=5.0):
    """Short ones as often as long ones."""
    return round(low * (high / low) ** rng.random(), 2)


def kill(role, what):
    def plan(rng):
        steps = [("kill", role, what)]
        if what in ("keeper", "corosync"):
            steps += [("wait", round(rng.uniform(0.5, 2), 2)),
                      ("start", role)]
        gap = {"keeper": KEEPER_MS, "media": MEDIA_MS,
               "corosync": CRASH_MS}.get(what, QUIET_MS)
        crash = role == "active" and what == "keeper"
        return steps, gap if role == "active" else QUIET_MS, crash
    return plan


def power(role):
    def plan(rng):
        return ([("power", role), ("wait", round(rng.uniform(0.5, 2.5), 2)),
                 ("boot", role)],
                CRASH_MS if role == "active" else QUIET_MS, role == "active")
    return plan


def freeze(role, what):
    def plan(rng):
        seconds = _seconds(rng)
        gap = QUIET_MS
        if role == "active":
            gap = {"media": int(seconds * 1000) + MEDIA_MS, "sip": QUIET_MS,
                   "guard": QUIET_MS}.get(what, CRASH_MS)
        return [("freeze", role, what, seconds)], gap, False
    return plan


def cut(role, nic, gap=None):
    """One link of one node, silently, one direction, or its carrier."""
    def plan(rng):
        seconds = round(rng.uniform(0.3, 3), 2)
        name = rng.choice(NICS[nic]) if nic in NICS else nic
        kind = rng.choice(("both", "in", "out", "carrier"))
        own = gap if gap is not None else QUIET_MS
        if nic == "service" and role == "active":
            own = int(seconds * 1000) + CRASH_MS
        return ([("cut", role, name, kind), ("wait", seconds), ("heal",)],
                own, False)
    return plan


def cut_all(role, nics, kinds=("both",)):
    def plan(rng):
        seconds = round(rng.uniform(0.5, 3), 2)
        kind = rng.choice(kinds)
        return ([("cut", role, nic, kind) for nic in nics] +
                [("wait", seconds), ("heal",)], CRASH_MS, False)
    return plan


def loss(links):
    def plan(rng):
        role = rng.choice(("active", "standby"))
        percent = rng.randrange(5, 21 if links == 2 else 51)
        nics = NICS["ha"] if links == 2 else [rng.choice(NICS["ha"])]
        return ([("cut", role, nic, f"loss={percent}") for nic in nics] +
                [("wait", round(rng.uniform(1, 4), 2)), ("heal",)],
                CRASH_MS if links == 2 else QUIET_MS, False)
    return plan


def switchover(rng):
    return [("switchover",)], PLANNED_MS, False


def restart(role):
    def plan(rng):
        return ([("stop", role), ("wait", round(rng.uniform(0, 1), 2)),
                 ("start", role)],
                KEEPER_MS if role == "active" else QUIET_MS, False)
    return plan


def during_snapshot(rng):
    """The standby comes back, and something dies while it is being fed."""
    role, what = rng.choice((("standby", "keeper"), ("standby", "sip"),
                             ("standby", "media"), ("standby", "corosync"),
                             ("standby", "power"), ("active", "sip"),
                             ("active", "media"), ("active", "guard")))
    again = (("power", role) if what == "power" else ("kill", role, what))
    return ([("power", "standby"), ("wait", 0.5),
             ("boot", "standby", "nowait"),
             ("wait", round(rng.uniform(0, 0.6), 2)), again,
             ("wait", 0.5),
             ("boot" if what == "power" else "start", role)],
            MEDIA_MS if (role, what) == ("active", "media") else QUIET_MS,
            False)


def two_at_once(rng):
    """Pairs of faults that leave one way to carry on."""
    # The first one leads to the witness too: its loss were the third fault.
    link = NICS["ha"][-1]
    steps, gap, crash = rng.choice((
        ([("kill", "active", "sip"), ("kill", "active", "media")],
         MEDIA_MS, False),
        ([("kill", "active", "sip"), ("kill", "standby", "sip")],
         QUIET_MS, False),
        ([("kill", "active", "guard"), ("kill", "active", "keeper")],
         CRASH_MS, True),
        ([("kill", "active", "keeper"), ("kill", "standby", "sip")],
         KEEPER_MS, True),
        ([("kill", "active", "keeper"), ("kill", "standby", "media")],
         MEDIA_MS, True),
        ([("kill", "active", "keeper"), ("kill", "standby", "guard")],
         KEEPER_MS, True),
        ([("cut", "active", link, "both"), ("kill", "active", "keeper")],
         KEEPER_MS, True),
        ([("cut", "standby", link, "loss=20"), ("power", "active")],
         CRASH_MS, True),
        ([("cut", "standby", link, "both"), ("freeze", "active", "node", 2)],
         CRASH_MS, True)))
    last = ([("boot", "active")] if ("power", "active") in steps else
            [("start", "active")] if ("kill", "active", "keeper") in steps
            else [])
    steps = list(steps) + [("wait", round(rng.uniform(0.5, 2), 2)),
                           ("heal",)] + last
    return steps, gap, crash


def after_switchover(rng):
    """A process of the node that has just taken over dies at once; the node
    itself may not, its predecessor is not in sync yet."""
    what = rng.choice(("sip", "media", "guard"))
    return ([("switchover",), ("kill", "standby", what)],
            MEDIA_MS if what == "media" else PLANNED_MS, False)


def witness_dies(rng):
    return ([("kill", "witness", "qnetd"),
             ("wait", round(rng.uniform(0.5, 4), 2)),
             ("start", "witness")], QUIET_MS, False)


def witness_cut(rng):
    return ([("cut", "witness", "ha1",
              rng.choice(("both", "in", "out", "loss=50"))),
             ("wait", round(rng.uniform(0.5, 4), 2)), ("heal",)],
            QUIET_MS, False)


def qdevice_dies(role):
    def plan(rng):
        return ([("kill", role, "qdevice"),
                 ("wait", round(rng.uniform(0.5, 3), 2)), ("start", role)],
                QUIET_MS, False)
    return plan


def full_disk(rng):
    role = rng.choice(("active", "standby"))
    return ([("fill", role), ("wait", round(rng.uniform(2, 5), 2)),
             ("free", role)], QUIET_MS, False)


def full_disk_crash(rng):
    """The active dies while one disk or both are full: what nobody could
    write is on record at the peer."""
    roles = rng.choice((("active",), ("standby",), ("active", "standby")))
    how = rng.choice(("keeper", "power"))
    die, back, gap = {
        "keeper": (("kill", "active", "keeper"), ("start", "active"),
                   KEEPER_MS),
        "power": (("power", "active"), ("boot", "active"), CRASH_MS)}[how]
    return ([("fill", r) for r in roles] +
            [("wait", round(rng.uniform(1, 2), 2)), die,
             ("wait", round(rng.uniform(0.5, 1.5), 2)), back] +
            [("free", r) for r in roles], gap, True)


def _clock_off(rng):
    return rng.choice((3600, -3600, 86400, -86400))


def clock_step(rng):
    role = rng.choice(("active", "standby"))
    return ([("clock", role, _clock_off(rng)),
             ("wait", round(rng.uniform(1, 4), 2)), ("clock", role, 0)],
            QUIET_MS, False)


def clock_crash(rng):
    """Who takes over has another clock, and so has who comes back."""
    role = rng.choice(("active", "standby"))
    how = rng.choice(("keeper", "power"))
    die, back, gap = {
        "keeper": (("kill", "active", "keeper"), ("start", "active"),
                   KEEPER_MS),
        "power": (("power", "active"), ("boot", "active"), CRASH_MS)}[how]
    return ([("clock", role, _clock_off(rng)),
             ("wait", round(rng.uniform(0.5, 1.5), 2)), die,
             ("wait", round(rng.uniform(0.5, 1.5), 2)), back,
             ("wait", 0.5), ("clock", role, 0)], gap, True)


# kind: (how often, what the pair must have for it, plan)
CATALOGUE = {
    **{f"kill-{w}-active": (4 if w == "keeper" else 1, None,
                            kill("active", w)) for w in PROCESSES},
    **{f"kill-{w}-standby": (1, None, kill("standby", w))
       for w in PROCESSES},
    "power-active": (5, None, power("active")),
    "power-standby": (1, None, power("standby")),
    **{f"freeze-{w}-active": (1, None, freeze("active", w))
       for w in (*PROCESSES, "node")},
    "freeze-keeper-standby": (1, None, freeze("standby", "keeper")),
    "freeze-node-standby": (1, None, freeze("standby", "node")),
    "cut-ha-link": (2, None, cut("active", "ha")),
    "cut-ha-link-standby": (1, None, cut("standby", "ha")),
    "cut-service-active": (1, None, cut("active", "service")),
    "cut-service-standby": (1, None, cut("standby", "service")),
    "cut-ha-both": (1, "other-paths",
                    cut_all("active", NICS["ha"], ("both", "in", "out"))),
    "isolate-active": (1, "other-paths",
                       cut_all("active", ("all",), ("both", "carrier"))),
    "isolate-standby": (1, "right",
                        cut_all("standby", ("all",), ("both", "carrier"))),
    "loss-ha-link": (1, None, loss(1)),
    "loss-ha-both": (1, None, loss(2)),
    "switchover": (3, None, switchover),
    "restart-standby": (1, None, restart("standby")),
    "restart-active": (1, None, restart("active")),
    "during-snapshot": (2, None, during_snapshot),
    "two-at-once": (3, None, two_at_once),
    "after-switchover": (1, None, after_switchover),
    "kill-qnetd": (2, "witness", witness_dies),
    "kill-qdevice-active": (1, "witness", qdevice_dies("active")),
    "kill-qdevice-standby": (1, "witness", qdevice_dies("standby")),
    "cut-witness": (1, "witness", witness_cut),
    "full-disk": (1, "cdr-disk", full_disk),
    "full-disk-crash": (2, "cdr-disk", full_disk_crash),
    "clock-step": (1, "clocks", clock_step),
    "clock-crash": (2, "clocks", clock_crash),
}
LOSSLESS = ("switchover",)


def deck(features, only=(), skip=()):
    """Kinds that this pair can be put through, each as often as it counts."""
    out = []
    for kind, (weight, needs, _) in CATALOGUE.items():
        if only and kind not in only:
            continue
        if kind in skip or (needs and needs not in features):
            continue
        out += [kind] * weight
    return out


def schedule(seed, features=(), only=(), skip=()):
    """Endless sequence of faults; the same for the same arguments."""
    rng = random.Random(f"faults {seed}")
    cards = deck(features, only, skip)
    if not cards:
        raise ValueError("no kind of fault is left")
    while True:
        rng.shuffle(cards)
        for kind in cards:
            steps, gap_ms, crash = CATALOGUE[kind][2](rng)
            yield Fault(kind, steps, gap_ms, crash, kind in LOSSLESS)
