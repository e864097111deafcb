#!/bin/sh
# No // comments, no notes to self. See comments.py.
here=$(dirname "$0")
rc=0
python3 "$here/comments.py" line "${1:-$here/../..}" || rc=1
python3 "$here/comments.py" notes "${1:-$here/../..}" || rc=1
exit $rc
