#!/bin/sh
# Every tracked C file is as clang-format 14 would write it (`make format`).
here=$(cd "$(dirname "$0")" && pwd)
cd "${1:-$here/../..}" || exit 1
if ! command -v clang-format-14 >/dev/null; then
	echo "skipped: no clang-format-14"
	exit 0
fi
python3 "$here/files.py" c |
	xargs -0 -r clang-format-14 --dry-run -Werror 2>&1 |
	awk -F: '/: (error|warning): / {
		bad = 1
		if (!seen[$1]++)
			print $1 ":" $2 ": not as `make format` writes it"
	} END { exit bad }'
