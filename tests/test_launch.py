"""The scripts in ``launch/``: linted, checked against schemas, and run where that needs no cluster."""

import os
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parent.parent
LAUNCH = ROOT / "launch"
TOOLS = Path(sys.executable).parent


def test_shell_scripts_are_clean():
    scripts = [*LAUNCH.glob("*.sh"), LAUNCH / "slurm.sbatch"]
    assert len(scripts) > 5
    result = subprocess.run(
        [TOOLS / "shellcheck", "-x", "-P", "SCRIPTDIR", *scripts], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout


def test_the_dockerfile_is_clean():
    result = subprocess.run([TOOLS / "hadolint", LAUNCH / "Dockerfile"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_the_dockerfile_copies_what_there_is():
    for line in (LAUNCH / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            assert all((ROOT / name).exists() for name in line.split()[1:-1])


def test_kubernetes_manifests_follow_their_schema():
    manifests = list(yaml.safe_load_all((LAUNCH / "kubernetes.yaml").read_text()))
    assert [manifest["kind"] for manifest in manifests] == ["Service", "Job"]
    for manifest in manifests:
        kubernetes_validate.validate(manifest, "1.33", strict=True)
    job = manifests[1]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert f"--processes={job['completions']}" in container["args"]
    assert job["completions"] == job["parallelism"]


@pytest.fixture
def launched(tmp_path):
    """Runs a script with a Python that says what it is asked for, in place of an environment."""

    def launch(script, *arguments):
        (tmp_path / "bin").mkdir()
        python = tmp_path / "bin" / "python"
        python.write_text('#!/bin/sh\necho "$@"\n')
        python.chmod(0o755)
        stamp = (ROOT / "pyproject.toml").read_bytes() + (ROOT / "constraints.txt").read_bytes()
        for name in ("installed", "installed-cuda"):
            (tmp_path / name).write_bytes(stamp)
        environment = {**os.environ, "VENV": str(tmp_path), "PYTHON": sys.executable}
        return subprocess.run(
            ["bash", LAUNCH / script, *arguments], env=environment, capture_output=True, text=True, check=False
        )

    return launch


def test_local(launched):
    assert launched("local.sh", "level2", "--lr_schedule=step").stdout.split() == [
        "-m",
        "experiments.level2",
        "--lr_schedule=step",
    ]


def test_multihost(launched):
    result = launched("multihost.sh", "10.0.0.1:99", "2", "1", "level1", "--workdir=x")
    assert result.stdout.split() == [
        *("-m", "experiments.level1", "--coordinator=10.0.0.1:99", "--processes=2", "--process=1", "--workdir=x")
    ]


def test_of_two_that_are_started_together_one_installs(tmp_path):
    python = tmp_path / "python"  # that makes environments with itself, and notes what it is asked for
    python.write_text(
        '#!/bin/sh\ncase "$2" in\n'
        f'venv) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && sleep 1 && echo venv >> {tmp_path}/noted ;;\n'
        f"pip) echo pip >> {tmp_path}/noted ;;\nesac\n"
    )
    python.chmod(0o755)
    environment = {**os.environ, "VENV": str(tmp_path / "new" / "venv"), "PYTHON": str(python)}
    command = ["bash", "-euc", f'. "{LAUNCH}/environment.sh"; install test']
    both = [subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert (tmp_path / "noted").read_text().split() == ["venv", "pip"]


@pytest.mark.parametrize(
    ("script", "message"), [("local.sh", "an experiment comes first"), ("multihost.sh", "HOST:PORT HOSTS")]
)
def test_nothing_to_launch(launched, script, message):
    result = launched(script)
    assert result.returncode != 0
    assert message in result.stderr
