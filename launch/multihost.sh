#!/usr/bin/env bash
# One of several hosts that train together, started by hand on each. HOST:PORT is a free port of the first host, which all can
# reach; then how many hosts there are, the number of this one from 0, the experiment and its flags:
#   bash launch/multihost.sh 10.0.0.1:1234 2 0 level2 --workdir=/shared/runs/level2
#   bash launch/multihost.sh 10.0.0.1:1234 2 1 level2 --workdir=/shared/runs/level2
set -euo pipefail
. "$(dirname "$0")/environment.sh"

if [ $# -lt 4 ]; then
  echo "error: bash launch/multihost.sh HOST:PORT HOSTS NUMBER EXPERIMENT [FLAGS]" >&2
  exit 1
fi
coordinator=$1 hosts=$2 number=$3 experiment=$4
shift 4
install_for_machine
exec "$venv/bin/python" -m "experiments.$experiment" \
  --coordinator="$coordinator" --processes="$hosts" --process="$number" "$@"
