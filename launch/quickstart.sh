#!/usr/bin/env bash
# From a fresh checkout to a captcha reader: installs, then trains the quick recipe. Options go to the experiment:
#   bash launch/quickstart.sh --workdir=runs/mine
set -euo pipefail
. "$(dirname "$0")/environment.sh"

install ""
exec "$venv/bin/python" -m experiments.captcha --recipe=quick "$@"
