#!/bin/sh
# The arithmetic of the benches. See selftest.py.
here=$(dirname "$0")
exec python3 "$here/../bench/selftest.py"
