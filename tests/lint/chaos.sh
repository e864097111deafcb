#!/bin/sh
# The chaos suite's plans and the commands of sbc-chaos. See selftest.py.
here=$(dirname "$0")
exec python3 "$here/../chaos/selftest.py"
