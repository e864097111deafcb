"""Joins a CPG group and sends what does not belong there.

usage: cpg_garbage.py GROUP COUNT SEED    (inside a node)
"""

import ctypes
import random
import sys

AGREED, OK, TRY_AGAIN = 2, 1, 6


class Name(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint32), ("value", ctypes.c_char * 128)]


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


def payload(rng):
    """Noise, and noise that begins like something real."""
    size = rng.choice([0, 1, 3, 16, 40, 41, 100, 1000, 32768, 60000])
    data = bytearray(rng.randbytes(size))
    if rng.random() < 0.7:
        start = rng.choice([b"SBCH", b"sbcd", b"SBC1", b"\x01\x00",
                            b"\x00" * 8])
        data[:len(start)] = start
    return bytes(data)


def main():
    group, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    lib = ctypes.CDLL("libcpg.so.4")
    handle = ctypes.c_uint64()
    callbacks = (ctypes.c_void_p * 2)()
    rc = lib.cpg_initialize(ctypes.byref(handle), callbacks)
    assert rc == OK, f"cpg_initialize: {rc}"
    name = Name(len(group), group.encode())
    rc = lib.cpg_join(handle, ctypes.byref(name))
    assert rc == OK, f"cpg_join: {rc}"
    sent = 0
    while sent < count:
        data = payload(rng)
        buf = ctypes.create_string_buffer(data, len(data))
        iov = Iovec(ctypes.cast(buf, ctypes.c_void_p), len(data))
        rc = lib.cpg_mcast_joined(handle, AGREED, ctypes.byref(iov), 1)
        lib.cpg_dispatch(handle, 2)
        if rc != TRY_AGAIN:
            sent += 1
    lib.cpg_leave(handle, ctypes.byref(name))
    lib.cpg_finalize(handle)
    print(f"sent {sent}")


main()
