#!/usr/bin/env python3
"""Asks a SIP server for its OPTIONS all the time and says how long it was
silent: the longest time between two requests that were answered.

usage: sipgap.py LOCAL-IP SERVER-IP [INTERVAL-MS]

Says after every hundred answers how many there were. Runs until SIGTERM, then
prints one line of JSON.
"""
import json
import select
import signal
import socket
import sys
import time

REQUEST = """OPTIONS sip:ping@{server} SIP/2.0\r
Via: SIP/2.0/UDP {local}:{port};branch=z9hG4bKgap{n}\r
Max-Forwards: 70\r
From: <sip:gap@{local}>;tag=gap{n}\r
To: <sip:ping@{server}>\r
Call-ID: gap-{n}-{start}@{local}\r
CSeq: {n} OPTIONS\r
Content-Length: 0\r
\r
"""


class Gap:
    def __init__(self, local, server, interval_ms):
        self.local, self.server = local, server
        self.interval = interval_ms / 1000
        self.start = time.monotonic_ns()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((local, 0))
        self.sock.setblocking(False)
        self.sent = {}
        self.answered = 0
        self.last = None    # when the last answered request was sent
        self.longest = 0.0

    def ask(self, n):
        text = REQUEST.format(n=n, local=self.local, server=self.server,
                              port=self.sock.getsockname()[1],
                              start=self.start)
        self.sent[n] = time.monotonic()
        try:
            self.sock.sendto(text.encode(), (self.server, 5060))
        except OSError:
            pass    # nobody answers ARP just now

    def hear(self):
        while True:
            try:
                data = self.sock.recv(65536).decode(errors="replace")
            except OSError:
                return
            cseq = [line.split()[1] for line in data.split("\r\n")
                    if line.startswith("CSeq:")]
            at = self.sent.pop(int(cseq[0]), None) if cseq else None
            if at is None or not data.startswith("SIP/2.0 200"):
                continue
            if self.last is not None:
                self.longest = max(self.longest, at - self.last)
            self.last = max(at, self.last or at)
            self.answered += 1
            if not self.answered % 100:
                print(f"answered {self.answered}", flush=True)

    def run(self):
        n, due, end = 0, time.monotonic(), []
        signal.signal(signal.SIGTERM, lambda *_: end.append(True))
        while not end:
            now = time.monotonic()
            if now >= due:
                n += 1
                self.ask(n)
                due = max(due + self.interval, now)
            if select.select([self.sock], [], [],
                             max(0, due - time.monotonic()))[0]:
                self.hear()
        print(json.dumps({"asked": n, "answered": self.answered,
                          "longest_gap_ms": round(self.longest * 1000, 1)}))


if __name__ == "__main__":
    Gap(sys.argv[1], sys.argv[2],
        float(sys.argv[3]) if len(sys.argv) > 3 else 5).run()
