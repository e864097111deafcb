#!/bin/sh
# The model's role table is the one of hasync/role.c. See tests/model/run.py.
exec python3 "$(dirname "$0")/../model/run.py" --table
