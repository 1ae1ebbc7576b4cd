#!/usr/bin/env bash
# From a fresh checkout to tested: installs, then lints, checks types and runs the tests. Options go to pytest:
#   bash launch/test.sh --slow -k captcha
set -euo pipefail
. "$(dirname "$0")/environment.sh"

install test
"$venv/bin/ruff" check .
"$venv/bin/ruff" format --check .
"$venv/bin/mypy"
# What a file's tests share is made once, in one of the two processes.
exec "$venv/bin/python" -m pytest -n 2 --dist loadfile "$@"
