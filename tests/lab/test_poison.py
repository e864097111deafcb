"""Inputs and records that crash a worker: refused, buried, on both nodes."""

import lab

HOOK = b"X-SBC-Test"


def test_the_product_has_no_hooks():
    """What crashes on demand is in the binary made for it and nowhere else."""
    assert HOOK in (lab.build_dir() / "hooks/bin/sbcd").read_bytes()
    for path in (lab.build_dir() / "bin").iterdir():
        assert HOOK not in path.read_bytes(), path
