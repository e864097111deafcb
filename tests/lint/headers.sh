#!/bin/sh
# Every header says what it is, and in which layer. See comments.py.
here=$(dirname "$0")
exec python3 "$here/comments.py" heads "${1:-$here/../..}"
