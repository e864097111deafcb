#!/bin/sh
# Includes point only down; hasync/ and netif/ are libraries. See layers.py.
here=$(dirname "$0")
exec python3 "$here/layers.py" "${1:-$here/../..}"
