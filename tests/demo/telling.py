"""What the demonstrations print with."""

import contextlib
import sys
import time


class Clock:
    """Lines with the seconds since the beginning."""

    def __init__(self):
        self.start = time.monotonic()

    def say(self, text):
        print(f"[{time.monotonic() - self.start:6.1f} s] {text}", flush=True)


def gaps(streams, calls):
    return sorted(streams[c.stream]["rx"]["longest_gap"]["ms"]
                  for c in calls)


def gap_line(name, ms):
    return (f"  {name:<20} longest gap {ms[-1]:6.1f} ms   "
            f"median {ms[len(ms) // 2]:6.1f} ms   over {len(ms)} streams")


@contextlib.contextmanager
def logs_if_it_fails(office):
    """Closes it, too."""
    try:
        yield
    except BaseException:
        for title, text in office.w.logs():
            print(f"---- {title}\n{text}", file=sys.stderr)
        raise
    finally:
        office.close()
