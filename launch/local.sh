#!/usr/bin/env bash
# One host, all its GPUs, or its CPU where there is none. The experiment comes first, then its flags:
#   bash launch/local.sh level2 --lr_schedule=step
set -euo pipefail
. "$(dirname "$0")/environment.sh"

experiment=${1:?an experiment comes first, such as: bash launch/local.sh level2 --recipe=quick}
shift
install_for_machine
exec "$venv/bin/python" -m "experiments.$experiment" "$@"
