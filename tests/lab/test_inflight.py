"""Power loss at every point of a call: nothing is lost, nothing is half up.

One power loss serves many calls. A case is a generator in three parts:
    it brings its call to the point, and yields;
    starts what happens while nobody serves, without waiting, and yields;
    sees the call through on the new active node.
Peers that hold a message back (Call.hold) keep the point for as long as it
takes. Each case runs in both directions.
"""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import pytest

import checks
from lab import OTHER, wait_for
from sipcall import Answer, CallFailed

SILENT = Answer(trying=False, ring=0, code=0)
TRYING = Answer(ring=0, code=0)
RINGING = Answer(code=0)
EARLY = Answer(ring=183, ring_sdp=True, code=0)
OPTIONAL = [("Supported", "100rel")]
REQUIRED = [("Require", "100rel"), ("Supported", "100rel")]


class Stage:
    """What a case needs to make its call in one direction."""

    def __init__(self, w, frm, transport):
        self.w = w
        tail = "" if transport == "udp" else f"-{transport}"
        self.caller, self.callee = frm + tail, OTHER[frm] + tail
        self.prefix = "c" if transport == "udp" else transport
        self.transport = transport
        self.ua = w.ua[self.callee]
        self.users = []

    def place(self, answer, **kwargs):
        """A call that is at its callee; (caller, callee)."""
        call = self.dial(answer, **kwargs)
        return call, self.arrived(call)

    def dial(self, answer, hold=(), **kwargs):
        with self.w.lock:
            user = self.w.user(self.prefix)
            self.users.append(user)
        self.w.plan[user] = answer
        call = self.w.place(user, self.caller, **kwargs)
        call.hold = set(hold)
        return call

    def arrived(self, call):
        return self.ua.wait_call(call.user, 20)

    def up(self):
        """An established call."""
        pair = self.place(Answer())
        for leg in pair:
            leg.established()
        wait_for(lambda: pair[1].acks, 10, "ACK")
        return pair

    def start(self, coro):
        return self.w.loop.post(coro)

    # ---- outcomes --------------------------------------------------------

    def answered(self, call, callee):
        """Established at both ends, media both ways, ends in order."""
        for leg in (call, callee):
            leg.established(40)
        wait_for(lambda: callee.acks, 40, f"{callee!r} gets its ACK")
        self.in_order(call, callee)

    def in_order(self, call, callee, first=None):
        self.media(call, callee, 10)
        first = first or call
        assert first.bye(32).status == 200
        self.ended(call, callee)

    def media(self, call, callee, timeout=5):
        """Where the peers have it."""
        if self.w.media:
            self.w.wait_media([(call, callee)], timeout)

    def ended(self, *legs):
        for leg in legs:
            leg.wait("ended", timeout=40)

    def failed(self, call, callee, *status):
        for leg in (call, callee):
            leg.wait("failed", timeout=40)
        assert call.final.status in status, call.final.status


# ---- INVITE ----------------------------------------------------------------

def invite_unanswered(x):
    call, callee = x.place(SILENT)
    yield
    yield
    callee.accept()
    x.answered(call, callee)


def invite_trying(x):
    call, callee = x.place(TRYING)
    yield
    yield
    callee.ring()
    callee.accept()
    x.answered(call, callee)


def invite_then_rejected(x):
    call, callee = x.place(TRYING)
    yield
    yield
    callee.reject(486)
    x.failed(call, callee, 486)


def invite_as_it_dies(x):
    yield
    call = x.dial(Answer())
    yield
    x.answered(call, x.arrived(call))


def invite_cancelled_unanswered(x):
    """A CANCEL has to wait for a first response, on the new node too."""
    call, callee = x.place(SILENT)
    assert call.cancel().status == 200
    call.wait("failed")
    yield
    yield
    callee.ring()
    x.failed(call, callee, 487)


# ---- ringing ---------------------------------------------------------------

def ringing(x):
    call, callee = x.place(RINGING)
    call.wait("early")
    yield
    yield
    callee.accept()
    x.answered(call, callee)


def ringing_then_rejected(x):
    call, callee = x.place(RINGING)
    call.wait("early")
    yield
    yield
    callee.reject(603)
    x.failed(call, callee, 603)


def ringing_then_cancelled(x):
    call, callee = x.place(RINGING)
    call.wait("early")
    yield
    yield
    assert call.cancel(32).status == 200
    x.failed(call, callee, 487)


def ringing_answered_as_it_dies(x):
    call, callee = x.place(RINGING)
    call.wait("early")
    yield
    x.start(callee._accept())
    yield
    x.answered(call, callee)


def ringing_rejected_as_it_dies(x):
    call, callee = x.place(RINGING)
    call.wait("early")
    yield
    x.start(callee._reject(486))
    yield
    x.failed(call, callee, 486)


def ringing_cancelled_as_it_dies(x):
    call, callee = x.place(RINGING)
    call.wait("early")
    yield
    cancel = x.start(call._cancel(32))
    yield
    assert cancel.result(40).status in (200, 481)
    # The stack answers a CANCEL at once: lost before it was on record, it
    # rings on until the callee has had enough.
    with contextlib.suppress(CallFailed):
        callee.wait("failed", timeout=8)
    if callee.state == "early":
        callee.reject(486)
    x.failed(call, callee, 487, 486)


def forked(x):
    """Two phones ring; the first is answered, and then the second too."""
    call, callee = x.place(RINGING)
    call.wait("early")
    callee.ring_as("second")
    yield
    yield
    callee.accept()
    call.established(40)

    def ended():
        seen = {m.method for m in x.ua.received() if m.to_tag == "second" and
                m.call_id == callee.call_id}
        if {"ACK", "BYE"} <= seen:
            return True
        callee.accept_as("second")
        return False
    wait_for(ended, 20, "the second branch gets ACK and BYE", 0.5)
    x.answered(call, callee)


def early_media(x):
    call, callee = x.place(EARLY)
    call.wait("early")
    x.media(call, callee)
    yield
    yield
    x.media(call, callee)
    callee.accept()
    x.answered(call, callee)


# ---- reliable provisional responses ----------------------------------------

def prack_unanswered(x):
    call, callee = x.place(TRYING, headers=OPTIONAL)
    callee.hold = {"PRACK"}
    callee.ring_reliably(7, 183, sdp=True)
    callee.wait_held("PRACK")
    yield
    yield
    callee.release()
    call.wait_for(lambda: call.pracks, "hears of its PRACK", 32)
    assert call.pracks == [200]
    callee.accept()
    x.answered(call, callee)


def prack_not_sent_yet(x):
    call, callee = x.place(TRYING, headers=OPTIONAL, hold=["18x"])
    callee.ring_reliably(9, 180)
    call.wait_held("INVITE")
    yield
    yield
    call.release()
    call.wait_for(lambda: call.pracks, "hears of its PRACK", 32)
    assert call.pracks == [200]
    callee.accept()
    x.answered(call, callee)


def prack_as_it_dies(x):
    call, callee = x.place(TRYING, headers=REQUIRED, hold=["18x"])
    callee.ring_reliably(9, 180)
    call.wait_held("INVITE")
    yield
    x.start(call._release())
    yield
    call.wait_for(lambda: call.pracks, "hears of its PRACK", 32)
    assert call.pracks == [200]
    callee.ring_reliably(10, 183, sdp=True)
    call.wait_for(lambda: len(call.pracks) == 2, "hears of the second", 32)
    assert call.pracks == [200, 200]
    callee.accept()
    x.answered(call, callee)


def required_of_a_callee_that_cannot(x):
    """The caller insists on PRACK, the callee takes no notice."""
    call, callee = x.place(RINGING, headers=REQUIRED)
    call.wait_for(lambda: call.pracks, "hears of its PRACK", 10)
    yield
    yield

    def second():
        if len(call.pracks) > 1:
            return True
        # Unreliable as it is, it may be lost with its connection.
        callee.ring(183, sdp=True)
        return False
    wait_for(second, 32, "the second PRACK", 1)
    assert set(call.pracks) == {200}
    callee.accept()
    x.answered(call, callee)


def required_and_not_sent_yet(x):
    call, callee = x.place(RINGING, headers=REQUIRED, hold=["18x"])
    call.wait_held("INVITE")
    yield
    yield
    call.release()
    call.wait_for(lambda: call.pracks, "hears of its PRACK", 32)
    assert call.pracks == [200]
    callee.accept()
    x.answered(call, callee)


# ---- the answer ------------------------------------------------------------

def ack_not_sent_yet(x):
    call, callee = x.place(Answer(), hold=["2xx"])
    call.wait_held("INVITE")
    yield
    yield
    call.release()
    x.answered(call, callee)


def ack_as_it_dies(x):
    call, callee = x.place(Answer(), hold=["2xx"])
    call.wait_held("INVITE")
    yield
    x.start(call._release())
    yield
    x.answered(call, callee)


def ack_lost(x):
    """The caller has sent its ACK, the callee has not got it."""
    call, callee = x.place(RINGING)
    call.wait("early")
    callee.hold = {"ACK"}
    callee.accept()
    call.established()
    wait_for(lambda: [m for m in x.ua.received("ACK") if
                      m.call_id == callee.call_id], 10, "an ACK")
    yield
    yield
    callee.release()
    x.answered(call, callee)


def refusal_unacked(x, cancelled):
    """The call is over, and gone; but the callee has not got the ACK."""
    call, callee = x.place(RINGING)
    call.wait("early")
    callee.hold = {"ACK"}
    if cancelled:
        assert call.cancel().status == 200
    else:
        callee.reject(486)
    call.wait("failed")
    wait_for(lambda: [m for m in x.ua.received("ACK") if
                      m.call_id == callee.call_id], 10, "an ACK")
    yield
    yield
    callee.release()
    # Over a stream nobody repeats a refusal.
    if x.transport == "udp":
        wait_for(lambda: callee.acks, 40, f"{callee!r} gets its ACK")
    x.failed(call, callee, 487 if cancelled else 486)


# ---- within the call -------------------------------------------------------

def change_pending(x, what, caller_asks):
    pair = x.up()
    mine, other = pair if caller_asks else reversed(pair)
    other.hold = {"INVITE", "UPDATE"}
    asked = x.start(getattr(mine, what)())
    other.wait_held("INVITE" if what == "_reinvite" else "UPDATE")
    yield
    yield
    other.release()
    assert asked.result(40).status == 200
    x.in_order(*pair, first=other)


def change_as_it_dies(x, what, caller_asks):
    pair = x.up()
    mine, other = pair if caller_asks else reversed(pair)
    yield
    asked = x.start(getattr(mine, what)())
    yield
    assert asked.result(40).status == 200
    x.in_order(*pair, first=mine)


def reinvite_unacked(x, caller_asks):
    pair = x.up()
    mine, other = pair if caller_asks else reversed(pair)
    acks, mine.hold = other.acks, {"2xx"}
    assert mine.reinvite().status == 200
    yield
    yield
    mine.release()
    wait_for(lambda: other.acks > acks, 32, "ACK of the re-INVITE")
    x.in_order(*pair, first=other)


def reinvite_refused(x, caller_asks):
    pair = x.up()
    mine, other = pair if caller_asks else reversed(pair)
    other.hold, other.reinvite_answer = {"INVITE"}, 488
    asked = x.start(mine._reinvite())
    other.wait_held("INVITE")
    yield
    yield
    other.release()
    assert asked.result(40).status == 488
    x.in_order(*pair, first=mine)


# ---- the end ---------------------------------------------------------------

def cancel_pending(x):
    """The caller is rid of its call, the callee has not answered yet."""
    call, callee = x.place(RINGING)
    call.wait("early")
    callee.hold = {"CANCEL"}
    assert call.cancel().status == 200
    call.wait("failed")
    callee.wait_held("CANCEL")
    yield
    yield
    callee.release()
    x.failed(call, callee, 487)


def cancel_crossed_by_200(x):
    """... and then does: it gets ACK and BYE."""
    call, callee = x.place(RINGING)
    call.wait("early")
    callee.hold = {"CANCEL"}
    assert call.cancel().status == 200
    call.wait("failed")
    callee.wait_held("CANCEL")
    yield
    yield
    callee.accept()
    wait_for(lambda: callee.acks, 40, "ACK")
    x.ended(callee)


def cancel_and_200_as_it_dies(x):
    call, callee = x.place(RINGING)
    call.wait("early")
    yield
    cancel = x.start(call._cancel(32))
    x.start(callee._accept())
    yield
    cancel.result(40)
    for leg in (call, callee):
        leg.wait("failed", "established", "ended", timeout=40)
    if call.state == "established":
        return x.answered(call, callee)
    return x.ended(callee)


def cancel_answered_as_it_dies(x):
    """Where nothing rings any more, nothing rings again."""
    call, callee = x.place(RINGING)
    call.wait("early")
    callee.hold = {"CANCEL"}
    assert call.cancel().status == 200
    call.wait("failed")
    callee.wait_held("CANCEL")
    yield
    x.start(callee._release())
    yield
    x.failed(call, callee, 487)


def bye_pending(x, caller_ends):
    pair = x.up()
    mine, other = pair if caller_ends else reversed(pair)
    other.hold = {"BYE"}
    assert mine.bye().status == 200
    other.wait_held("BYE")
    yield
    yield
    other.release()
    x.ended(*pair)


def bye_as_it_dies(x, caller_ends):
    pair = x.up()
    mine, other = pair if caller_ends else reversed(pair)
    yield
    bye = x.start(mine._bye(32, ()))
    yield
    assert bye.result(40).status in (200, 481)
    x.ended(*pair)


def byes_crossing(x):
    pair = x.up()
    yield
    byes = [x.start(leg._bye(32, ())) for leg in pair]
    yield
    assert all(b.result(40).status in (200, 481) for b in byes)
    x.ended(*pair)


CASES = [(c.__name__, c, ()) for c in (
    invite_unanswered, invite_trying, invite_then_rejected,
    invite_as_it_dies, invite_cancelled_unanswered, ringing,
    ringing_then_rejected, ringing_then_cancelled,
    ringing_answered_as_it_dies, ringing_rejected_as_it_dies,
    ringing_cancelled_as_it_dies, forked, early_media, prack_unanswered,
    prack_not_sent_yet, prack_as_it_dies, required_of_a_callee_that_cannot,
    required_and_not_sent_yet, ack_not_sent_yet, ack_as_it_dies, ack_lost,
    cancel_pending, cancel_crossed_by_200, cancel_and_200_as_it_dies,
    cancel_answered_as_it_dies, byes_crossing)]
CASES += [("refusal_unacked", refusal_unacked, (False,)),
          ("cancelled_unacked", refusal_unacked, (True,))]
for who, side in (("caller", True), ("callee", False)):
    CASES += [(f"{c.__name__} {who}", c, (side,)) for c in (
        reinvite_unacked, reinvite_refused, bye_pending, bye_as_it_dies)]
    CASES += [(f"{what[1:]}_{c.__name__} {who}", c, (what, side))
              for c in (change_pending, change_as_it_dies)
              for what in ("_reinvite", "_update")]


class Running:
    """A case under way; what goes wrong is kept, the others go on."""

    def __init__(self, stage, name, case, args):
        self.name = f"{stage.caller} {name}"
        self.stage, self.error = stage, None
        self.steps = case(stage, *args)

    def step(self):
        if self.error:
            return
        try:
            next(self.steps, None)
        except Exception as err:        # told together with the others
            self.error = f"{self.name}: {err!r}"
            print(self.error, flush=True)


def run(w, runs, kill, settle):
    start = time.monotonic()
    with ThreadPoolExecutor(len(runs)) as pool:
        list(pool.map(Running.step, runs))
        at_point = time.monotonic()
        kill()
        for case in runs:
            case.step()
        settle()
        list(pool.map(Running.step, runs))
    print(f"{len(runs)} calls: {at_point - start:.0f} s to the point, "
          f"{time.monotonic() - at_point:.0f} s from there", flush=True)
    errors = [c.error for c in runs if c.error]
    assert not errors, "\n".join(errors)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_power_loss_at_every_point(world, transport):
    world.peers()
    if transport == "tcp":
        world.more_peers(transport="tcp")
    power_loss_at_every_point(world, transport)


def power_loss_at_every_point(w, transport):
    w.plan, w.lock = {}, Lock()
    for ua in w.ua.values():
        ua.answer = lambda call: w.plan.get(call.user, Answer())
    watch = w.observer()
    active, standby = w.settled()
    stages = [Stage(w, frm, transport) for frm in ("core", "cloud")]
    runs = [Running(stage, *case) for stage in stages for case in CASES]

    old = []

    def power_loss():
        old.extend(c for ua in w.ua.values() for c in ua.connections())
        w.lab.kill(active, "power")

    def taken_over():
        w.wait_role(standby, "ACTIVE", 10)
        # What a peer has sent to the dead node over TCP it has to send again
        # (RFC 3261 section 18.4), when it has found out.
        for ua in w.ua.values():
            ua.keep_alive()
        wait_for(lambda: all(c.lost for c in old), 10,
                 "connections of the dead node are reset")
    run(w, runs, power_loss, taken_over)
    checks.one_owner(watch)
    for stage in stages:
        rang = [c.user for c in stage.ua.calls if c.user in stage.users]
        assert sorted(rang) == sorted(stage.users), "each rang once"
    checks.nothing_left(w)
    checks.sane(w)
    checks.topology_hidden(w)
