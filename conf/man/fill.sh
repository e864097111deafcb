#!/bin/sh
# A manual page with what the programs themselves say of their options.
# usage: fill.sh PAGE DIRECTORY-OF-PROGRAMS VERSION
set -eu
# Backslashes, and what would be a request at the beginning of a line.
literal() { sed -e 's/\\/\\e/g' -e "s/^[.']/\\\\\&&/" -e 's/-/\\-/g'; }
while IFS= read -r line; do
	case $line in
	@HELP@) "$2/sbcctl" --help | literal ;;
	@DEFAULTS@) "$2/sbcd" --print-defaults | literal ;;
	*@VERSION@*) printf '%s\n' "$line" | sed "s/@VERSION@/$3/" ;;
	*) printf '%s\n' "$line" ;;
	esac
done <"$1"
