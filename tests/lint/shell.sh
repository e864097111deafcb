#!/bin/sh
# Every tracked shell script, by name or first line, passes shellcheck.
here=$(cd "$(dirname "$0")" && pwd)
cd "${1:-$here/../..}" || exit 1
if ! command -v shellcheck >/dev/null; then
	echo "shellcheck is missing: make deps"
	exit 1
fi
python3 "$here/files.py" shell | xargs -0 -r shellcheck -f gcc
