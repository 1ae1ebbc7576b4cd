"""``crnn-jax serve`` under load: many requests at once, against the same server asked one after another.

The server is a process of its own, its clients are threads of this one: both share the machine's cores. A request holds one
captcha as a PNG file. Linux only, for the memory.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from crnn_jax import tasks
from crnn_jax.errors import UserError
from experiments.benchmark.report import Row, row

_REQUESTS, _PICTURES = 1000, 64
_CLIENTS = (4, 16, 64, 128)  # the last are more than the server has places for
_PATIENCE = 60.0  # seconds, after which an answer counts as lost
_BOUNDARY = "picture"
_HEADERS = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}


class Answered(NamedTuple):
    """What became of a request.

    Attributes:
        text: what was read; None: the answer was lost, or was an error.
        seconds: from first asking to the answer.
        refused: how often it was refused with status 503 and asked again, after as long as the server said.
    """

    text: str | None
    seconds: float
    refused: int


class Server(NamedTuple):
    """A server of this machine."""

    process: int
    port: int

    @property
    def megabytes(self) -> float:
        """Its resident memory."""
        lines = Path(f"/proc/{self.process}/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))

    def ask(self, bodies: Sequence[bytes], count: int, clients: int) -> tuple[list[Answered], float]:
        """Sends requests, each client one after another.

        Args:
            bodies: of requests, sent in turn.
            count: requests.
            clients: that send at once.

        Returns:
            What became of each request, and the seconds that all took.
        """

        def client(number: int) -> list[Answered]:
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)) as connection:
                return [_ask(connection, bodies[i % len(bodies)]) for i in range(number, count, clients)]

        answered: list[Answered | None] = [None] * count
        began = time.perf_counter()
        with ThreadPoolExecutor(clients) as threads:
            for number, answers in enumerate(threads.map(client, range(clients))):
                answered[number::clients] = answers
        return [one for one in answered if one], time.perf_counter() - began


def rows(count: int | None, seed: int) -> Iterator[Row]:
    """Requests a second, how long one takes, what is lost or refused, and memory; ``count`` requests for each figure."""
    count = count or _REQUESTS
    source = tasks.captcha().source("generate", seed)
    bodies = [body(source[i].image) for i in range(_PICTURES)]
    with serving("captcha") as server:
        expected = [one.text for one in server.ask(bodies, len(bodies), 1)[0]]
        if None in expected:
            raise UserError("the server gave no answer, or an error, to requests that were sent one after another")
        for clients in _CLIENTS:  # batches of all sizes are compiled
            server.ask(bodies, 2 * count, clients)
        before = server.megabytes
        for clients in _CLIENTS:
            yield from _compare(server, bodies, expected, count, clients)
            yield row("serve", f"{clients} at once: memory after, and before all", server.megabytes, before, "MB", "less")


def _compare(server: Server, bodies: list[bytes], expected: list[str | None], count: int, clients: int) -> Iterator[Row]:
    (ours, together), (peer, alone) = (server.ask(bodies, count, at_once) for at_once in (clients, 1))
    yield row("serve", f"{clients} at once", count / together, count / alone, "requests/s")
    for percent in (50, 99):
        a, b = (1000 * float(np.percentile([one.seconds for one in answers], percent)) for answers in (ours, peer))
        yield row("serve", f"{clients} at once: an answer, {percent}th percentile", a, b, "ms", "less")
    a, b = (sum(one.text != expected[i % len(bodies)] for i, one in enumerate(answers)) for answers in (ours, peer))
    yield row("serve", f"{clients} at once: lost or another text", a, b, "answers", "less")
    a, b = (sum(one.refused for one in answers) for answers in (ours, peer))
    yield row("serve", f"{clients} at once: refused, asked again", a, b, "answers", "less")


@contextlib.contextmanager
def serving(*models: str) -> Iterator[Server]:
    """Starts ``crnn-jax serve`` on a free port, and ends it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "crnn_jax", "serve", *models, f"--port={port}"])
    try:
        while not _listens(port):
            if process.poll() is not None:
                raise UserError(f"crnn-jax serve ended with status {process.returncode}")
            time.sleep(0.1)
        yield Server(process.pid, port)
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def body(picture: np.ndarray) -> bytes:
    """A request's body: a picture, (H, W, 3) uint8, as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    head = 'Content-Disposition: form-data; name="files"; filename="picture.png"\r\nContent-Type: image/png'
    return f"--{_BOUNDARY}\r\n{head}\r\n\r\n".encode() + file.getvalue() + f"\r\n--{_BOUNDARY}--\r\n".encode()


def _ask(connection: http.client.HTTPConnection, body: bytes) -> Answered:
    began, refused, text = time.perf_counter(), 0, None
    try:
        while True:
            connection.request("POST", "/read", body, _HEADERS)
            response = connection.getresponse()
            data = response.read()
            if response.status != http.HTTPStatus.SERVICE_UNAVAILABLE:
                break
            refused += 1
            time.sleep(float(response.headers["Retry-After"]))
        if response.status == http.HTTPStatus.OK:
            text = json.loads(data)[0]["text"]
    except (OSError, http.client.HTTPException):
        connection.close()  # the next request opens it again
    return Answered(text, time.perf_counter() - began, refused)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
