"""The calls of a test user agent (sipua.py): one dialog each."""

import asyncio
import itertools
import random
import secrets
import time
from dataclasses import dataclass, field

from sipmsg import (MIRROR, BadMessage, Msg, host_port, sdp_build, sdp_media,
                    uri_of, user_of)

T1, T2, TIMEOUT = 0.5, 4.0, 32.0
stream_ids = itertools.count(1)
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE"


class CallFailed(Exception):
    """A final answer that is not 2xx, or none in time."""

    def __init__(self, text, response=None):
        super().__init__(text)
        self.response = response
        self.status = response.status if response else None


@dataclass
class Answer:
    """What a user agent does with an INVITE."""

    trying: bool = True          # 100
    ring: int = 180              # 0: no provisional answer but 100
    ring_sdp: bool = False       # early media
    ring_after: float = 0.0
    code: int = 200              # final answer; 0: leave it to the test
    after: float = 0.05
    headers: list = field(default_factory=list)
    sdp: bytes = None            # instead of our own


def response(req, status, to_tag=None, reason=None):
    resp = Msg(status=status, reason=reason)
    resp.copy(("Via", "From", "To", "Call-ID", "CSeq"), req)
    resp.copy(("Record-Route",), req)
    if to_tag and not req.to_tag:
        resp.set("To", f"{req.get('To')};tag={to_tag}")
    return resp


def failure_ack(invite, resp):
    """Same branch as the INVITE (RFC 3261 17.1.1.3)."""
    ack = Msg("ACK", invite.uri)
    ack.add("Via", invite.get("Via")).add("Max-Forwards", 70)
    ack.copy(("From", "Call-ID", "Route"), invite)
    ack.add("To", resp.get("To"))
    return ack.add("CSeq", f"{invite.cseq[0]} ACK")


class Call:
    """One dialog with at most one audio stream.

    state: calling, incoming, early, established, ended, failed
    """

    def __init__(self, ua, incoming, transport):
        self.ua, self.incoming, self.transport = ua, incoming, transport
        self.state = "incoming" if incoming else "calling"
        self.local_tag = secrets.token_hex(6)
        self.remote_tag = self.remote_target = self.call_id = None
        self.local_uri = self.remote_uri = None
        self.routes = []
        self.local_cseq, self.remote_cseq = random.randint(1, 1000), 0
        self.sdp_version, self.session = 0, random.randint(1000, 99999)
        self.sdp_sent = self.sdp_received = None
        self.direction = "sendrecv"
        self.stream = self.media_port = None
        self.invite = self.final = self.user = self.via = None
        self.cancelled = False
        self.ended_by = None         # "local", "remote"
        self.end_reason = None
        self.extra = ()
        self.edit = None             # last word on our SDP: bytes -> bytes
        self.sdes_key = self.sdes_theirs = None  # of Ua.sdes
        self.sdes_tag, self.sdes_params = 1, []
        self.acks = 0
        self.reinvite_answer = 200
        self._pending_ack = self._reply = None
        self._last_ack = {}
        # What is not done before release(): methods that are not answered
        # ("ACK": not noticed), "2xx" that are not acknowledged, "18x" that
        # get no PRACK.
        self.hold = set()
        self.held = []
        self.rseq, self.pracks = None, []  # caller: seen, statuses
        self._reliable = {}          # callee: RSeq -> event

    def __repr__(self):
        return f"<Call {self.ua.name} {self.user} {self.state}>"

    # ---- for the test's thread -------------------------------------------

    def _run(self, coro, timeout=60):
        return self.ua.loop.run(coro, timeout)

    def wait(self, *states, timeout=10):
        """Block until the state is one of these; CallFailed otherwise."""
        def find():
            return self.state if self.state in states else None
        return self._run(self.ua._wait(
            find, timeout, f"{self!r} becomes {'/'.join(states)}"),
            timeout + 5)

    def established(self, timeout=10):
        self.wait("established", "failed", "ended", timeout=timeout)
        if self.state != "established":
            raise CallFailed(f"{self!r}: {self.final and self.final.status}",
                             self.final)
        return self

    def ring(self, code=180, sdp=False):
        return self._run(self._ring(code, sdp))

    def accept(self):
        return self._run(self._accept())

    def reject(self, code, headers=()):
        return self._run(self._reject(code, headers))

    def cancel(self, timeout=10):
        """CANCEL; returns the response to the CANCEL itself."""
        return self._run(self._cancel(timeout), timeout + 5)

    def bye(self, timeout=10, headers=()):
        """BYE; returns the response."""
        return self._run(self._bye(timeout, headers), timeout + 5)

    def reinvite(self, direction="sendrecv", timeout=10, sdp=None):
        """re-INVITE with this media direction; returns the response."""
        return self._run(self._reinvite(direction, timeout, sdp),
                         timeout + 5)

    def request(self, method, timeout=10, headers=(), body=b"", cseq=None):
        """Any other request inside the dialog; returns the response."""
        async def go():
            msg = self._dialog_request(method, cseq)
            for name, value in headers:
                msg.set(name, value)
            msg.body = body
            return await self.ua._transact(msg, self._next_hop(), timeout,
                                           self.transport)
        return self._run(go(), timeout + 5)

    def ring_reliably(self, rseq, code=180, sdp=False):
        """A provisional response repeated until its PRACK."""
        return self._run(self._ring_reliably(rseq, code, sdp))

    def ring_as(self, tag, code=180):
        """Another branch of a fork rings."""
        return self._run(self._reply(self._in_response(code, tag)))

    def accept_as(self, tag):
        """Another branch of a fork answers, once."""
        return self._run(self._reply(self._with_sdp(
            self._in_response(200, tag))))

    def wait_held(self, method, timeout=10):
        """Block until such a message is held back."""
        def find():
            return [m for m, _ in self.held
                    if m.method == method or m.cseq[1] == method]
        return self._run(self.ua._wait(
            find, timeout, f"{self!r} holds {method}"), timeout + 5)

    def wait_for(self, find, what, timeout=10):
        """Block until something about this call has become true."""
        return self._run(self.ua._wait(find, timeout, f"{self!r} {what}"),
                         timeout + 5)

    def release(self):
        """Do now what was held back, and hold nothing any more."""
        return self._run(self._release())

    async def _release(self):
        self.hold, held, self.held = set(), self.held, []
        for msg, how in held:
            await how(msg)

    def close_media(self):
        """Forget the stream; returns its last report."""
        if self.stream is None:
            return None
        sid, self.stream = self.stream, None
        return self.ua.media.cmd("remove", id=sid)["stream"]

    # ---- offer and answer ------------------------------------------------

    def _local_sdp(self, direction=None):
        self.direction = direction or self.direction
        self.sdp_version += 1
        if not self.media_port:
            self.media_port = next(self.ua._ports)
        self.sdp_sent = sdp_build(self.ua.media_host, self.media_port,
                                  self.sdp_version, self.direction,
                                  self.extra, session=self.session)
        if self.ua.sdes:
            self.sdp_sent = self.ua.sdes.local(self, self.sdp_sent)
        if self.edit:
            self.sdp_sent = self.edit(self.sdp_sent)
        return self.sdp_sent

    def _refuses(self, msg):
        """Why we cannot take the SRTP of this SDP; None: we can."""
        if not self.ua.sdes or not msg.body:
            return None
        return self.ua.sdes.remote(self, msg.sdp)

    def _remote_sdp(self, msg):
        """Direct the stream at what the peer's SDP says."""
        if not msg.body:
            return
        self.sdp_received = msg.sdp
        why = self._refuses(msg)
        if why:
            self.ua.errors.append(f"{self!r}: SDP with {why}:\n{msg.sdp}")
        host, port, theirs = sdp_media(msg.sdp)
        if not self.ua.media:
            return
        sending = (port != 0 and theirs in ("sendrecv", "recvonly") and
                   self.direction in ("sendrecv", "sendonly"))
        target = {"remote": host, "remote_port": port} if port else {}
        if self.ua.sdes:
            target |= self.ua.sdes.media(self)
        if self.stream is None:
            sid = next(stream_ids)
            self.ua.media.cmd("add", id=sid, addr=self.ua.media_host,
                              port=self.media_port, send=sending, **target)
            self.stream = sid
        else:
            self.ua.media.cmd("set", id=self.stream, send=sending, **target)

    # ---- outgoing --------------------------------------------------------

    def _start(self, msg, media, sdp, extra):
        self.invite, self.extra = msg, extra
        self.call_id = msg.call_id
        self.local_uri, self.remote_uri = msg.get("From"), msg.get("To")
        self.local_tag = msg.from_tag
        self.remote_target = msg.uri
        msg.set("CSeq", f"{self.local_cseq} INVITE")
        if sdp is not None:
            msg.body = sdp
        elif media:
            msg.body = self._local_sdp()
        if msg.body and not msg.get("Content-Type"):
            msg.add("Content-Type", "application/sdp")
        self.ua._dialogs[(self.call_id, self.local_tag)] = self

    async def _set_state(self, state):
        self.state = state
        await self.ua._notify()

    async def _invite_transaction(self, msg, timeout=180):
        """Client INVITE transaction up to its final response."""
        queue = asyncio.Queue()
        key = (msg.branch, "INVITE")
        self.ua._client[key] = queue
        start, wait, proceeding = time.monotonic(), T1, False
        try:
            await self.ua._send(msg, self._next_hop(), self.transport)
            while True:
                try:
                    resp = await asyncio.wait_for(queue.get(), wait)
                except asyncio.TimeoutError:
                    spent = time.monotonic() - start
                    if spent > (timeout if proceeding else TIMEOUT):
                        return None
                    if not proceeding:
                        await self.ua._send_again(
                            msg, self._next_hop(), self.transport)
                        wait *= 2
                    continue
                if resp.status >= 200:
                    return resp
                proceeding, wait = True, T2
                if resp.get("RSeq"):
                    await self._take_reliable(resp)
                if self.state == "calling" and resp.to_tag:
                    self._learn(resp)
                    if resp.body:
                        self._remote_sdp(resp)
                    await self._set_state("early")
        finally:
            # Late answers of a failed INVITE are acknowledged for 32 s.
            self.ua._client.pop(key, None)
            self.ua._spawn(self._late_failures(msg, key, queue))

    async def _take_reliable(self, resp):
        """RFC 3262 section 4: in order, each of them once."""
        rseq = int(resp.get("RSeq"))
        if self.rseq is not None and rseq != self.rseq + 1:
            return
        self.rseq = rseq
        self._learn(resp)
        await self._keep("18x", resp, self._prack)

    async def _prack(self, resp):
        msg = self._dialog_request("PRACK")
        msg.add("RAck", f"{resp.get('RSeq')} {resp.get('CSeq')}")

        async def go():
            answer = await self.ua._transact(msg, self._next_hop(), 32,
                                             self.transport)
            self.pracks.append(answer.status)
            await self.ua._notify()
        self.ua._spawn(go())

    async def _keep(self, what, msg, how):
        """Do it, or keep it for release()."""
        if what not in self.hold:
            return await how(msg)
        if all(str(m) != str(msg) for m, _ in self.held):
            self.held.append((msg, how))
        return await self.ua._notify()

    async def _late_failures(self, msg, key, queue):
        self.ua._client[key] = queue
        end = time.monotonic() + TIMEOUT
        try:
            while time.monotonic() < end:
                resp = await asyncio.wait_for(queue.get(),
                                              end - time.monotonic())
                if 200 <= resp.status < 300:
                    await self._keep("2xx", resp, self._ack)
                elif resp.status >= 300:
                    await self._ack_failure(msg, resp)
        except asyncio.TimeoutError:
            pass
        finally:
            if self.ua._client.get(key) is queue:
                del self.ua._client[key]

    async def _invite_client(self, msg):
        resp = await self._invite_transaction(msg)
        self.final = resp
        if resp is None:
            return await self._set_state("failed")
        if resp.status >= 300:
            await self._ack_failure(msg, resp)
            self._forget()
            return await self._set_state("failed")
        self._learn(resp)
        await self._keep("2xx", resp, self._ack)
        if resp.body:
            self._remote_sdp(resp)
        if self.state != "ended":
            await self._set_state("established")
        return None

    def _learn(self, resp):
        self.remote_tag = resp.to_tag
        self.remote_uri = resp.get("To")
        if resp.get("Contact"):
            self.remote_target = uri_of(resp.get("Contact"))
        self.routes = list(reversed(resp.all("Record-Route")))

    async def _ack_failure(self, invite, resp):
        await self.ua._send(failure_ack(invite, resp), self._next_hop(),
                            self.transport)

    async def _ack(self, resp):
        num = resp.cseq[0]
        if num not in self._last_ack:
            msg = self._last_ack[num] = self._dialog_request("ACK", num)
            # We have offered nothing: this is the answer to their offer.
            if (num == self.invite.cseq[0] and not self.invite.body and
                    resp.body):
                self._remote_sdp(resp)
                msg.body = self._local_sdp()
                msg.add("Content-Type", "application/sdp")
        self.acks += 1
        await self.ua._send(self._last_ack[num], self._next_hop(),
                            self.transport)

    def _next_hop(self):
        """Where requests go: first route, else target; or the given hop."""
        if self.via and not self.remote_tag:
            return self.via
        uri = uri_of(self.routes[0]) if self.routes else self.remote_target
        return host_port(uri)[:2]

    def _dialog_request(self, method, cseq=None):
        if cseq is None:
            self.local_cseq += 1
            cseq = self.local_cseq
        msg = Msg(method, self.remote_target)
        msg.add("Via", self.ua._via(self.transport)).add("Max-Forwards", 70)
        for route in self.routes:
            msg.add("Route", route)
        msg.add("From", self.local_uri).add("To", self.remote_uri)
        msg.add("Call-ID", self.call_id).add("CSeq", f"{cseq} {method}")
        if method != "BYE":
            msg.add("Contact", self.ua.contact(self.transport))
        return msg

    async def _cancel(self, timeout):
        msg = Msg("CANCEL", self.invite.uri)
        msg.add("Via", self.invite.get("Via")).add("Max-Forwards", 70)
        msg.copy(("From", "To", "Call-ID", "Route"), self.invite)
        msg.add("CSeq", f"{self.invite.cseq[0]} CANCEL")
        self.cancelled = True
        return await self.ua._transact(msg, self.via, timeout,
                                       self.transport)

    async def _bye(self, timeout, headers):
        msg = self._dialog_request("BYE")
        for name, value in headers:
            msg.set(name, value)
        if self.state != "ended":
            self.ended_by = "local"
            await self._set_state("ended")
        resp = await self.ua._transact(msg, self._next_hop(), timeout,
                                       self.transport)
        self._stop_media()
        return resp

    async def _reinvite(self, direction="sendrecv", timeout=30, sdp=None):
        msg = self._dialog_request("INVITE")
        msg.body = sdp or self._local_sdp(direction)
        msg.add("Content-Type", "application/sdp")
        resp = await self._invite_transaction(msg, timeout)
        if resp is None:
            raise CallFailed(f"{self!r}: re-INVITE: no answer")
        if resp.status < 300:
            if resp.get("Contact"):
                self.remote_target = uri_of(resp.get("Contact"))
            await self._keep("2xx", resp, self._ack)
            self._remote_sdp(resp)
        else:
            await self._ack_failure(msg, resp)
        return resp

    async def _update(self, direction="sendrecv", timeout=30):
        msg = self._dialog_request("UPDATE")
        msg.body = self._local_sdp(direction)
        msg.add("Content-Type", "application/sdp")
        resp = await self.ua._transact(msg, self._next_hop(), timeout,
                                       self.transport)
        if resp.status < 300:
            self._remote_sdp(resp)
        return resp

    # ---- incoming --------------------------------------------------------

    def _take_invite(self, msg, reply):
        self.invite, self._reply = msg, reply
        self.call_id, self.user = msg.call_id, user_of(msg.uri)
        self.local_uri = f"{msg.get('To')};tag={self.local_tag}"
        self.remote_uri, self.remote_tag = msg.get("From"), msg.from_tag
        self.remote_target = uri_of(msg.get("Contact", ""))
        self.routes = msg.all("Record-Route")
        self.remote_cseq = msg.cseq[0]
        _, _, transport = host_port(self.remote_target)
        self.transport = transport or self.transport
        self.ua._dialogs[(self.call_id, self.local_tag)] = self

    async def _serve(self):
        """Do what the user agent's Answer says."""
        how = self.ua.answer
        how = how(self) if callable(how) else how
        if how.trying:
            await self._reply(response(self.invite, 100))
        try:
            if self.invite.body:
                sdp_media(self.invite.sdp)
        except BadMessage:
            return await self._reject(488)
        if self._refuses(self.invite):
            return await self._reject(488)
        await self.ua._notify()
        if how.ring:
            await asyncio.sleep(how.ring_after)
            await self._ring(how.ring, how.ring_sdp)
        if not how.code:
            return None
        await asyncio.sleep(how.after)
        if self.state not in ("incoming", "early"):
            return None
        if how.code < 300:
            return await self._accept(how.sdp)
        return await self._reject(how.code, how.headers)

    def _in_response(self, status, tag=None):
        resp = response(self.invite, status, tag or self.local_tag)
        return resp.add("Contact", self.ua.contact(self.transport))

    def _with_sdp(self, resp, sdp=None):
        if self.invite.body:
            theirs = sdp_media(self.invite.sdp)[2]
            self.direction = MIRROR[theirs]
        resp.body = sdp or self._local_sdp()
        return resp.add("Content-Type", "application/sdp")

    async def _ring(self, code, sdp=False):
        if self.state not in ("incoming", "early"):
            return
        resp = self._in_response(code)
        if sdp:
            self._with_sdp(resp)
            self._remote_sdp(self.invite)
        await self._reply(resp)
        await self._set_state("early")

    async def _ring_reliably(self, rseq, code, sdp):
        resp = self._in_response(code).add("Require", "100rel")
        resp.add("RSeq", rseq)
        if sdp:
            self._with_sdp(resp)
            self._remote_sdp(self.invite)
        done = self._reliable[rseq] = asyncio.Event()

        async def repeat():
            wait, end = T1, time.monotonic() + TIMEOUT
            while time.monotonic() < end:
                try:
                    await asyncio.wait_for(done.wait(), wait)
                    return
                except asyncio.TimeoutError:
                    if self.state in ("failed", "ended"):
                        return
                    await self._reply(resp)
                    wait *= 2
            self.ua.errors.append(f"{self!r}: no PRACK for RSeq {rseq}")
        await self._reply(resp)
        self.ua._spawn(repeat())
        await self._set_state("early")

    async def _on_prack(self, msg, reply):
        rseq, num, method = msg.get("RAck").split()
        done = self._reliable.get(int(rseq))
        right = (done and method == "INVITE" and
                 int(num) == self.invite.cseq[0])
        if not right:
            self.ua.errors.append(f"{self!r}: PRACK for {msg.get('RAck')}")
            return await reply(response(msg, 481))
        done.set()
        return await reply(response(msg, 200))

    async def _accept(self, sdp=None):
        resp = self._in_response(200).add("Allow", ALLOW)
        self._with_sdp(resp, sdp)
        self.final = resp
        await self._set_state("established")
        if self.invite.body:
            self._remote_sdp(self.invite)
        await self._reliable_2xx(resp, self._reply)

    async def _reliable_2xx(self, resp, reply):
        """Repeat a 2xx until its ACK (RFC 3261 13.3.1.4)."""
        acked = self._pending_ack = asyncio.Event()
        num = resp.cseq[0]

        async def repeat():
            wait, end = T1, time.monotonic() + TIMEOUT
            while time.monotonic() < end:
                try:
                    await asyncio.wait_for(acked.wait(), wait)
                    return
                except asyncio.TimeoutError:
                    if self.state == "ended":
                        return  # a BYE was faster than the ACK's repetition
                    await reply(resp)
                    wait = min(2 * wait, T2)
            self.ua.errors.append(f"{self!r}: no ACK for CSeq {num}")
        await reply(resp)
        self.ua._spawn(repeat())

    def _acked(self, msg):
        if "ACK" in self.hold:
            return
        self.acks += 1
        if self._pending_ack:
            self._pending_ack.set()
        if msg.body:
            self._remote_sdp(msg)

    async def _cancelled(self, msg, reply):
        await reply(response(msg, 200, to_tag=self.local_tag))
        self.cancelled = True
        if self.state in ("incoming", "early"):
            await self._reject(487)

    async def _reject(self, code, headers=()):
        resp = self._in_response(code)
        for name, value in headers:
            resp.set(name, value)
        self.final = resp
        await self._set_state("failed")
        await self._reliable_failure(resp, self._reply)

    async def _reliable_failure(self, resp, reply, forget=True):
        """A failure too is repeated until its ACK, over UDP (timer G)."""
        acked = self._pending_ack = asyncio.Event()

        async def repeat():
            wait, end = T1, time.monotonic() + TIMEOUT
            while time.monotonic() < end:
                try:
                    await asyncio.wait_for(acked.wait(), wait)
                    break
                except asyncio.TimeoutError:
                    if self.transport == "udp":
                        await reply(resp)
                    wait = min(2 * wait, T2)
            else:
                self.ua.errors.append(f"{self!r}: no ACK for a failure")
            if forget:
                self._forget()
        await reply(resp)
        self.ua._spawn(repeat())

    async def _on_request(self, msg, reply):
        num = msg.cseq[0]
        if num < self.remote_cseq:
            self.ua.errors.append(
                f"{self!r}: CSeq {num} after {self.remote_cseq}")
            return await reply(response(msg, 500))
        self.remote_cseq = num

        async def answer(msg):
            await self._answer(msg, reply)
        await self._keep(msg.method, msg, answer)

    async def _answer(self, msg, reply):
        if msg.method == "BYE":
            await reply(response(msg, 200))
            self.end_reason = msg.get("Reason")
            self._stop_media()
            if self.state != "ended":
                self.ended_by = "remote"
            return await self._set_state("ended")
        if self.state == "ended":
            return await reply(response(msg, 481))
        if msg.method == "INVITE":
            return await self._on_reinvite(msg, reply)
        if msg.method == "PRACK":
            return await self._on_prack(msg, reply)
        if msg.method == "UPDATE" and msg.body:
            return await reply(self._in_session(msg))
        return await reply(response(msg, 200).add("Allow", ALLOW))

    async def _on_reinvite(self, msg, reply):
        if self.reinvite_answer >= 300:
            return await self._reliable_failure(
                response(msg, self.reinvite_answer), reply, forget=False)
        await self._reliable_2xx(self._in_session(msg), reply)

    def _in_session(self, msg):
        """200 to a re-INVITE or UPDATE, and what it changes."""
        resp = response(msg, 200).add(
            "Contact", self.ua.contact(self.transport))
        if msg.get("Contact"):
            self.remote_target = uri_of(msg.get("Contact"))
        if msg.body:
            self.direction = MIRROR[sdp_media(msg.sdp)[2]]
        resp.body = self._local_sdp()
        resp.add("Content-Type", "application/sdp")
        self._remote_sdp(msg)
        return resp

    def _stop_media(self):
        """Stop sending; the counters stay until close_media()."""
        if self.stream is not None:
            self.ua.media.cmd("set", id=self.stream, send=False)

    def _forget(self):
        self.ua._dialogs.pop((self.call_id, self.local_tag), None)
