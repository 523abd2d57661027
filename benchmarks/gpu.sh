#!/usr/bin/env bash
# One command on a machine with a GPU: what ltbench reaches there, as one Markdown table. About 8 minutes on an
# H100-class card; needs no network and no data.
#
#     benchmarks/gpu.sh                        # writes benchmarks/GPU-<card>.md
#     benchmarks/gpu.sh --only training,host   # some parts
#     benchmarks/gpu.sh --small --device cpu   # scaled down, to try the script itself
set -euo pipefail
cd "$(dirname "$0")"
python=../.venv/bin/python
[ -x "$python" ] || python=${PYTHON:-python3}
exec "$python" gpu.py "$@"
