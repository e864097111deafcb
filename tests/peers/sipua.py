"""A small SIP user agent for tests: UDP, TCP and TLS, IPv4 and IPv6.

Obeys RFC 3261 where the device under test can see it: retransmissions
(T1, T2), server transactions that repeat their last response, 2xx repeated
until the ACK, ACK repeated for each 2xx, CSeq per direction, route sets,
CANCEL and BYE crossing. Everything sent and received is kept in Ua.log.

The event loop runs in a thread of its own (Loop), so that a test may block
in a lab command while calls go on. Ua, Call and Media methods without
leading underscore are for that other thread and block until done.
"""

import asyncio
import ctypes
import itertools
import json
import os
import secrets
import socket
import threading
import time
from dataclasses import dataclass

from sipcall import (ALLOW, T1, T2, Answer, Call, CallFailed, failure_ack,
                     response)
from sipmsg import BadMessage, Msg, bracket, frame, host_port, parse
from tlspeer import v2_hello

__all__ = ["Answer", "Call", "CallFailed", "Loop", "Media", "Ua"]
_libc = ctypes.CDLL(None, use_errno=True)


def new_branch():
    return "z9hG4bK" + secrets.token_hex(8)


def netns_socket(netns, family, kind, proto=0):
    """A socket that lives in another network namespace."""
    if not netns:
        return socket.socket(family, kind, proto)
    with open("/proc/thread-self/ns/net") as old, open(netns) as new:
        if _libc.setns(new.fileno(), 0x40000000):
            raise OSError(ctypes.get_errno(), f"setns {netns}")
        try:
            return socket.socket(family, kind, proto)
        finally:
            if _libc.setns(old.fileno(), 0x40000000):
                os.abort()


class Loop:
    """An asyncio loop in a thread; start it once per test."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever,
                                       name="sipua", daemon=True)
        self.thread.start()

    def run(self, coro, timeout=60):
        return asyncio.run_coroutine_threadsafe(
            coro, self.loop).result(timeout)

    def post(self, coro):
        """Start it and return a future, to have two things in flight."""
        return asyncio.run_coroutine_threadsafe(coro, self.loop)

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()


class Media:
    """The control connection to an rtptool."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(path))
        self.file = self.sock.makefile("r")
        self.lock = threading.Lock()

    def cmd(self, cmd, **args):
        line = json.dumps({"cmd": cmd, **args}) + "\n"
        with self.lock:
            self.sock.sendall(line.encode())
            answer = json.loads(self.file.readline() or "{}")
        if not answer.get("ok"):
            raise OSError(f"rtptool {cmd} {args}: {answer.get('error')}")
        return answer

    def report(self, streams=True):
        return self.cmd("report", streams=streams)["report"]

    def reset(self):
        self.cmd("reset")

    def close(self):
        self.sock.close()


@dataclass
class Logged:
    time: float
    sent: bool
    peer: tuple
    msg: Msg


class _Stream(asyncio.Protocol):
    """A connection by TCP or TLS."""

    def __init__(self, ua, kind="tcp", peer=None):
        self.ua, self.buf, self.peer = ua, bytearray(), peer
        self.kind = kind
        self.lost = self.mine = False

    def connection_made(self, transport):
        self.transport = transport
        self.peer = self.peer or transport.get_extra_info("peername")[:2]
        self.ua._conns[self.peer] = self

    def data_received(self, data):
        self.buf += data
        try:
            while (msg := frame(self.buf)) is not None:
                self.ua._received(msg, self.peer, self.kind)
        except (BadMessage, ValueError) as err:
            self.ua.errors.append(f"{self.peer}: {err}")
            self.transport.abort()

    def connection_lost(self, exc):
        self.lost = time.monotonic()
        if self.ua._conns.get(self.peer) is self:
            del self.ua._conns[self.peer]


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, ua):
        self.ua = ua

    def datagram_received(self, data, addr):
        if not data.strip():
            return
        try:
            self.ua._received(parse(data), addr[:2], "udp")
        except (BadMessage, ValueError) as err:
            self.ua.errors.append(f"{addr}: {err}: {data[:200]!r}")


class Error(str):
    """What went wrong, and when (wall clock)."""

    def __new__(cls, text):
        self = super().__new__(cls, text)
        self.when = time.time()
        return self


class Errors(list):
    def append(self, text):
        super().append(Error(text))


class Ua:
    """A user agent on one address, listening on UDP and TCP, and by TLS
    where it is told how (tlspeer.Tls)."""

    def __init__(self, loop, host, port=5060, netns=None, transport="udp",
                 media=None, media_base=30000, media_host=None, name=None,
                 tls=None):
        self.loop, self.host, self.port = loop, host, port
        self.tls = tls
        self.netns, self.transport = netns, transport
        self.media, self.media_host = media, media_host or host
        self._ports = itertools.count(media_base, 2)
        self.name = name or f"ua-{host}"
        self.answer = Answer()       # or a function of the call
        self.sdes = None             # sdes.Sdes: SRTP only
        self.log, self.errors = [], Errors()
        self.calls = []              # incoming, in order
        self.retry_tcp = True
        self.accepts = {"OPTIONS"}   # outside dialogs
        self._changed = asyncio.Condition()
        self.v2_programs = []        # of connections by Tls.v2
        self._conns, self._client, self._server = {}, {}, {}
        self._dialogs, self._tasks = {}, set()
        loop.run(self._open())

    # ---- for the test's thread -------------------------------------------

    def call(self, to, via, **kwargs):
        """Place a call and return it before it is answered."""
        return self.loop.run(self._call(to, via, **kwargs))

    def wait_call(self, user=None, timeout=10):
        """The incoming call whose Request-URI has this user part."""
        def find():
            for call in self.calls:
                if user is None or call.user == user:
                    return call
            return None
        return self.loop.run(self._wait(find, timeout,
                                        f"{self.name}: call for {user}"),
                             timeout + 5)

    def request(self, method, uri, via, timeout=10, headers=(), body=b"",
                transport=None, drop=()):
        """Send a request outside a dialog; returns the final response."""
        async def go():
            msg = self._request(method, uri, headers=headers, body=body,
                                transport=transport)
            msg.headers = [(n, v) for n, v in msg.headers if n not in drop]
            how = transport or self.transport
            resp = await self._transact(msg, via, timeout, how)
            if method == "INVITE" and resp.status >= 300:
                await self._send(failure_ack(msg, resp), via, how)
            return resp
        return self.loop.run(go(), timeout + 5)

    def send_raw(self, data, via, transport="udp"):
        async def go():
            await self._send_bytes(data, via, transport)
        self.loop.run(go())

    def all_calls(self):
        """Every dialog, placed and received."""
        return list(self._dialogs.values())

    def received(self, method=None, status=None):
        return [e.msg for e in list(self.log) if not e.sent and
                (method is None or e.msg.method == method) and
                (status is None or e.msg.status == status)]

    def keep_alive(self):
        """CRLF on each connection of ours (RFC 5626): dead ones break."""
        async def go():
            for conn in list(self._conns.values()):
                if conn.mine:
                    conn.transport.write(b"\r\n\r\n")
        self.loop.run(go())

    def leave_connections(self):
        """Those that are up stay so, but what is sent takes new ones."""
        async def go():
            self._conns.clear()
        self.loop.run(go())

    def close(self):
        async def go():
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for server in self._servers:
                server.close()
            self._udp.close()
            for conn in list(self._conns.values()):
                conn.transport.abort()
            await asyncio.sleep(0)
        self.loop.run(go())
        for proc in self.v2_programs:
            proc.terminate()
            proc.communicate(timeout=5)

    # ---- transport -------------------------------------------------------

    async def _open(self):
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._family = family
        udp = netns_socket(self.netns, family, socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        udp.bind((self.host, self.port))
        self._udp, _ = await loop.create_datagram_endpoint(
            lambda: _Udp(self), sock=udp)
        self._servers = [await self._listen("tcp", self.port)]
        if self.tls:
            self._servers.append(await self._listen(
                "tls", self.tls.port, ssl=self.tls.server(),
                ssl_handshake_timeout=5))

    async def _listen(self, kind, port, **how):
        sock = netns_socket(self.netns, self._family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self.host, port))
        return await asyncio.get_running_loop().create_server(
            lambda: _Stream(self, kind), sock=sock, **how)

    async def _connect(self, peer, kind):
        sock = netns_socket(self.netns, self._family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.bind((self.host, 0))
        loop = asyncio.get_running_loop()
        how = {}
        if kind == "tls":
            how = {"ssl": self.tls.client(), "ssl_handshake_timeout": 5,
                   "server_hostname": self.tls.name or ""}
        await asyncio.wait_for(loop.sock_connect(sock, peer), 3)
        if kind == "tls" and self.tls.v2:
            with sock:
                proc, sock = v2_hello(self.tls.v2[0], sock, self.tls.v2[1],
                                      self.tls.cert)
            self.v2_programs.append(proc)
            how = {}
        _, proto = await loop.create_connection(
            lambda: _Stream(self, kind, peer), sock=sock, **how)
        proto.mine = True
        return proto

    async def _send_bytes(self, data, peer, transport):
        if transport == "udp":
            self._udp.sendto(data, peer)
            return None
        conn = self._conns.get(peer) or await self._connect(peer, transport)
        conn.transport.write(data)
        return conn

    async def _send(self, msg, peer, transport):
        self.log.append(Logged(time.monotonic(), True, peer, msg))
        try:
            msg.conn = await self._send_bytes(msg.encode(), peer, transport)
            return True
        except (OSError, asyncio.TimeoutError) as err:
            self.errors.append(f"send to {peer}: {str(err) or repr(err)}")
            return False

    async def _send_again(self, msg, peer, transport):
        """Retransmit; over TCP only when the connection has broken."""
        if transport == "udp" or (self.retry_tcp and
                                  (not msg.conn or msg.conn.lost)):
            await self._send(msg, peer, transport)

    def _spawn(self, coro):
        task = asyncio.get_running_loop().create_task(coro)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task):
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            self.errors.append(f"{self.name}: {task.exception()!r}")

    async def _notify(self):
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self, find, timeout, what):
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(find), timeout)
            except asyncio.TimeoutError:
                raise CallFailed(f"not within {timeout} s: {what}") from None
            return find()

    # ---- client transactions ---------------------------------------------

    def _own_port(self, transport):
        return self.tls.port if transport == "tls" else self.port

    def _via(self, transport, branch=None):
        return (f"SIP/2.0/{transport.upper()} {bracket(self.host)}:"
                f"{self._own_port(transport)};"
                f"branch={branch or new_branch()};rport")

    def contact(self, transport, user="ua"):
        suffix = "" if transport == "udp" else f";transport={transport}"
        return (f"<sip:{user}@{bracket(self.host)}:"
                f"{self._own_port(transport)}{suffix}>")

    def connections(self):
        """Of streams, those that are up."""
        return list(self._conns.values())

    def _request(self, method, uri, headers=(), body=b"", transport=None):
        transport = transport or self.transport
        msg = Msg(method, uri)
        msg.add("Via", self._via(transport)).add("Max-Forwards", 70)
        msg.add("From", f"<sip:{self.name}@{bracket(self.host)}>;tag=" +
                secrets.token_hex(6))
        msg.add("To", f"<{uri}>")
        msg.add("Call-ID", secrets.token_hex(12))
        msg.add("CSeq", f"1 {method}")
        msg.add("Contact", self.contact(transport))
        for name, value in headers:
            msg.set(name, value)
        msg.body = body
        return msg

    async def _transact(self, msg, peer, timeout, transport):
        """A non-INVITE client transaction (RFC 3261 17.1.2)."""
        queue = asyncio.Queue()
        key = (msg.branch, msg.method)
        self._client[key] = queue
        end, wait = time.monotonic() + timeout, T1
        try:
            await self._send(msg, peer, transport)
            while time.monotonic() < end:
                try:
                    resp = await asyncio.wait_for(
                        queue.get(), min(wait, end - time.monotonic()))
                    if resp.status >= 200:
                        return resp
                    wait = T2
                    continue
                except asyncio.TimeoutError:
                    pass
                await self._send_again(msg, peer, transport)
                wait = min(2 * wait, T2)
        finally:
            self._client.pop(key, None)
        raise CallFailed(f"{msg.method}: no answer in {timeout} s")

    # ---- dispatch --------------------------------------------------------

    def _received(self, msg, peer, transport):
        self.log.append(Logged(time.monotonic(), False, peer, msg))
        if msg.is_request:
            self._spawn(self._on_request(msg, peer, transport))
        else:
            self._on_response(msg, peer, transport)
        self._spawn(self._notify())

    def _on_response(self, msg, peer, transport):
        queue = self._client.get((msg.branch, msg.cseq[1]))
        if queue:
            queue.put_nowait(msg)
            return
        # A 2xx to an INVITE whose transaction is over wants its ACK again.
        call = self._dialogs.get((msg.call_id, msg.from_tag))
        if call and msg.cseq[1] == "INVITE" and 200 <= msg.status < 300:
            self._spawn(call._ack(msg))

    async def _on_request(self, msg, peer, transport):
        if msg.method == "ACK":
            call = self._dialogs.get((msg.call_id, msg.to_tag))
            if call:
                call._acked(msg)
            return
        key = (msg.branch, msg.get("Via", "").split(";")[0], msg.method)
        if key in self._server:
            if self._server[key]:
                await self._send(self._server[key], peer, transport)
            return
        self._server[key] = None

        async def reply(resp):
            self._server[key] = resp
            await self._respond(resp, msg, peer, transport)
        call = self._dialogs.get((msg.call_id, msg.to_tag))
        if msg.method == "CANCEL":
            await self._on_cancel(msg, reply)
        elif call:
            await call._on_request(msg, reply)
        elif msg.method == "INVITE" and not msg.to_tag:
            call = Call(self, incoming=True, transport=transport)
            call._take_invite(msg, reply)
            self.calls.append(call)
            await call._serve()
        elif msg.to_tag or msg.method == "BYE":
            await reply(response(msg, 481))
        elif msg.method in self.accepts:
            await reply(response(msg, 200).add("Allow", ALLOW))
        else:
            await reply(response(msg, 405).add("Allow", ALLOW))

    async def _respond(self, resp, req, peer, transport):
        """RFC 3261 18.2.2: same connection, else the address in Via."""
        if transport != "udp" and peer not in self._conns:
            host, port, _ = host_port(
                req.get("Via").split(None, 1)[1].split(";")[0],
                5061 if transport == "tls" else 5060)
            peer = (host, port)
        await self._send(resp, peer, transport)

    async def _on_cancel(self, msg, reply):
        for call in self.calls:
            if (call.invite.branch == msg.branch and
                    call.invite.call_id == msg.call_id):
                return await call._keep(
                    "CANCEL", msg, lambda m, c=call: c._cancelled(m, reply))
        await reply(response(msg, 481))

    # ---- calls -----------------------------------------------------------

    async def _call(self, to, via, transport=None, headers=(), sdp=None,
                    media=True, domain=None, extra=(), user="caller",
                    edit=None):
        call = Call(self, incoming=False,
                    transport=transport or self.transport)
        call.via, call.user, call.edit = via, to, edit
        uri = f"sip:{to}@{bracket(domain or via[0])}"
        if via[1] != 5060:
            uri += f":{via[1]}"
        if call.transport != "udp":
            uri += f";transport={call.transport}"
        msg = self._request("INVITE", uri, transport=call.transport)
        msg.set("Contact", self.contact(call.transport, user))
        msg.add("Allow", ALLOW)
        for name, value in headers:
            msg.set(name, value)
        call._start(msg, media, sdp, extra)
        self._spawn(call._invite_client(msg))
        return call
