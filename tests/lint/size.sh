#!/bin/sh
# Files of at most 800 lines, functions of at most 80. See functions.py.
here=$(dirname "$0")
exec python3 "$here/functions.py" "${1:-$here/../..}"
