"""baresip as a party of calls: a user agent that is not of our making.

It plays a tone and records what it hears; tone_gaps() tells from a record
where the other's tone is missing.
"""

import array
import json
import math
import signal
import socket
import time
import wave
from pathlib import Path

from sipua import netns_socket

MODULES = ["account", "aubridge", "aufile", "ctrl_tcp", "g711", "menu",
           "sndfile", "srtp", "uuid"]
CONFIG = """
poll_method epoll
sip_listen {host}:5060
{tls}
audio_path {dir}
net_interface {host}
audio_player aubridge,nobody
audio_source aufile,{dir}/tone.wav
audio_alert aubridge,nobody
snd_path {dir}/heard
audio_level no
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
audio_txmode poll
audio_buffer 20-160
rtp_tos 184
rtp_ports {rtp}-{rtp_last}
rtcp_mux no
jitter_buffer_type off
rtp_stats yes
module_path /usr/lib/baresip/modules
{modules}
ctrl_tcp_listen {host}:4444
"""
RATE, WINDOW, TONE_SECONDS = 8000, 160, 180


class Baresip:
    """One in the namespace of `host`; `tool` starts a program there.

    tls: (certificate and key in one file, whom it trusts); calls are by SRTP
    then.
    """

    def __init__(self, tool, netns, directory, host, user, proxy, tone,
                 tls=None):
        self.dir, self.host, self.user = Path(directory), host, user
        self.tls = tls
        self.dir.mkdir()
        words = {"host": host, "dir": self.dir,
                 "rtp": 30000, "rtp_last": 30100, "tls": "",
                 "modules": "\n".join(
                     f"module{'_app' if m in ('account', 'menu') else ''} "
                     f"{m}.so" for m in MODULES)}
        if tls:
            words["tls"] = (f"sip_certificate {tls[0]}\nsip_cafile {tls[1]}")
        (self.dir / "heard").mkdir()
        make_tone(self.dir / "tone.wav", tone)
        (self.dir / "config").write_text(CONFIG.format(**words))
        how = ";transport=tls" if tls else ""
        (self.dir / "accounts").write_text(
            f"<sip:{user}@{host}{how}>;regint=0;answermode=auto;"
            f'outbound="sip:{proxy}{how}";audio_codecs=pcmu'
            f"{';mediaenc=srtp-mand' if tls else ''}\n")
        self.tool = tool(["baresip", "-v", "-f", self.dir], f"baresip-{user}")
        self.tool.wait_text("baresip is ready|ready", 10)
        self.ctrl = netns_socket(netns, socket.AF_INET, socket.SOCK_STREAM)
        self.ctrl.settimeout(10)
        self.ctrl.connect((host, 4444))
        self.buf, self.events = b"", []

    def close(self):
        self.ctrl.close()
        self.tool.stop(signal.SIGINT)

    # ---- control: netstrings of JSON --------------------------------------

    def _next(self):
        while True:
            size, colon, rest = self.buf.partition(b":")
            if colon and len(rest) > int(size):
                self.buf = rest[int(size) + 1:]
                return json.loads(rest[:int(size)])
            try:
                data = self.ctrl.recv(65536)
            except TimeoutError:
                data = b""
            if not data:
                raise OSError(f"{self.user} is silent:\n"
                              f"{self.tool.text()[-3000:]}")
            self.buf += data

    def command(self, name, params=""):
        text = json.dumps({"command": name, "params": params,
                           "token": name}).encode()
        self.ctrl.sendall(b"%d:%s," % (len(text), text))
        while True:
            msg = self._next()
            if "response" in msg:
                assert msg["ok"], msg
                return msg.get("data", "")
            self.events.append(msg)

    def wait_event(self, kind, timeout=15):
        """The next event of this type; what came before it is forgotten."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            while self.events:
                event = self.events.pop(0)
                if event.get("type") == kind:
                    return event
            self.events.append(self._next())
        raise OSError(f"{self.user}: no {kind} in {timeout} s:\n"
                      f"{self.tool.text()[-3000:]}")

    def dial(self, uri):
        self.command("dial", uri)

    def hang_up(self):
        self.command("hangup")


def make_tone(path, tone):
    """A WAV file of it, longer than any call."""
    period = array.array("h", (int(8000 * math.sin(2 * math.pi * tone * i /
                                                   RATE))
                               for i in range(RATE)))
    with wave.open(str(path), "wb") as w:
        w.setparams((1, 2, RATE, 0, "NONE", None))
        w.writeframes(period.tobytes() * TONE_SECONDS)


def heard(path):
    """Samples of a record."""
    with wave.open(str(path)) as w:
        assert (w.getnchannels(), w.getsampwidth(),
                w.getframerate()) == (1, 2, RATE)
        return array.array("h", w.readframes(w.getnframes()))


def has_tone(window, tone):
    """Is most of the window's energy this tone? (Goertzel)"""
    coeff = 2 * math.cos(2 * math.pi * tone / RATE)
    a = b = 0.0
    for x in window:
        a, b = x + coeff * a - b, a
    energy = sum(x * x for x in window)
    power = a * a + b * b - coeff * a * b
    return energy > 1e6 and power > 0.6 * energy * len(window) / 2


def tone_gaps(samples, tone):
    """(share of windows of 20 ms with the tone, longest gap in ms, between the
    first and the last of them)."""
    seen = [has_tone(samples[i:i + WINDOW], tone)
            for i in range(0, len(samples) - WINDOW, WINDOW)]
    if not any(seen):
        return 0.0, math.inf
    first, last = seen.index(True), len(seen) - 1 - seen[::-1].index(True)
    worst = run = 0
    for x in seen[first:last + 1]:
        run = 0 if x else run + 1
        worst = max(worst, run)
    return sum(seen) / (last + 1 - first), worst * 20
