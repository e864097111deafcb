"""Waiting for what the lab has to become, always with a deadline."""

import time


class LabError(Exception):
    """What the operator did wrong, or what did not happen in time."""


def until(cond, deadline_s, step_s=0.02):
    """Poll cond until it returns something true, or the deadline is over;
    what it returned last."""
    end = time.monotonic() + deadline_s
    while True:
        value = cond()
        if value or time.monotonic() >= end:
            return value
        time.sleep(step_s)


def wait_for(cond, deadline_s, what, step_s=0.02):
    """Poll cond until it returns something true; LabError at the deadline."""
    value = until(cond, deadline_s, step_s)
    if not value:
        raise LabError(f"not within {deadline_s} s: {what}")
    return value
