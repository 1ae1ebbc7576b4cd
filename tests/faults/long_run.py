"""Watches a long run of the small task: memory, open files and processes must not grow. ``python long_run.py [STEPS]``."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from crnn_jax.training.log import read_metrics


def children(pid):
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def resident(pid):
    """Megabytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def main(steps):
    program = Path(__file__).parent.parent / "bars_run.py"
    with tempfile.TemporaryDirectory() as workdir:
        command = [sys.executable, str(program), workdir, f"--steps={steps // 20}", "--epochs=20", "--save_seconds=5"]
        process = subprocess.Popen([*command, "--devices=1"], stderr=subprocess.DEVNULL)
        print("step   MB of the run   of its workers   open files   workers   checkpoints", flush=True)
        shown = 0
        while process.poll() is None:
            time.sleep(0.5)
            rows = read_metrics(Path(workdir) / "metrics.jsonl")
            if len(rows) == shown:
                continue
            shown = len(rows)
            workers = children(process.pid)
            files = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
            checkpoints = sum(path.name.isdigit() for path in (Path(workdir) / "checkpoints").iterdir())
            figures = (rows[-1]["step"], resident(process.pid), sum(map(resident, workers)), files, len(workers), checkpoints)
            print("{:<6} {:<15.0f} {:<16.0f} {:<12} {:<9} {}".format(*figures), flush=True)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
