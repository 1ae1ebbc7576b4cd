"""The application: routes, limits, and the models behind them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from fastapi import FastAPI, File, HTTPException, Query, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, Response
from PIL import Image
from starlette.middleware.base import RequestResponseEndpoint

from crnn_jax import __version__, tasks
from crnn_jax.cli.arguments import model_for, networks
from crnn_jax.data.images import read_image
from crnn_jax.errors import UserError
from crnn_jax.recognizer import Reader, Reading
from crnn_jax.serve.answers import Answer, Shown, answer, count_pixels, explain
from crnn_jax.serve.queue import BATCH_SIZE, BatchQueue

_logger = logging.getLogger(__name__)
_PAGE = Path(__file__).with_name("page.html")
_BYTES, _PIXELS = 20 * 2**20, 40_000_000  # of a picture, at most; and pixels of all that are in memory
_FILES, _BODY = 32, 64 * 2**20  # files and bytes of a request, at most
_AT_ONCE = 64  # pictures in hand, of all requests
_OTHERS = 10  # alternatives of a picture, at most: each look is searched for them


class _Places:
    """Places for the pictures in hand: what bounds the queue."""

    def __init__(self, room: int) -> None:
        self._free = room

    @contextlib.contextmanager
    def taken(self, count: int) -> Iterator[None]:
        """Holds some of them; all are taken, or the request is refused."""
        if count > self._free:
            raise HTTPException(503, "too many pictures at once: try again", {"Retry-After": "1"})
        self._free -= count
        try:
            yield
        finally:
            self._free += count


class _Pixels:
    """Room for pictures in memory: a file of some kilobytes may hold millions of pixels."""

    def __init__(self, room: int) -> None:
        self._free, self._changed = room, asyncio.Condition()

    @contextlib.asynccontextmanager
    async def taken(self, count: int) -> AsyncIterator[None]:
        """Holds some of it, as soon as it is free."""
        async with self._changed:
            await self._changed.wait_for(lambda: count <= self._free)
            self._free -= count
        try:
            yield
        finally:
            async with self._changed:
                self._free += count
                self._changed.notify_all()


class _Job(NamedTuple):
    image: np.ndarray
    explained: bool = False
    alternatives: int = 0


class _Done(NamedTuple):
    reading: Reading | None = None
    pictures: Sequence[Shown] = ()
    note: str | None = None
    problem: str = ""


def _work(model: Reader[Any], jobs: list[_Job]) -> list[_Done]:
    """Reads a batch; what is wrong with one picture is told of that one."""
    prepared: dict[int, Any] = {}
    done: dict[int, _Done] = {}
    for i, job in enumerate(jobs):
        try:
            picture = model.prepare(job.image)
            squeezed = model.squeezed(picture)
            shown = explain(model, job.image, picture) if job.explained else []
            done[i] = _Done(None, shown, None if squeezed is None else f"the picture {squeezed}")
            prepared[i] = picture
        except UserError as error:
            done[i] = _Done(problem=str(error))
        except Exception:  # a fault of ours, for which the requests of others are not to pay
            _logger.exception("a picture of %s can't be prepared", "x".join(map(str, job.image.shape[1::-1])))
            done[i] = _Done(problem="can't be prepared")
    # In two passes: searches for alternatives are costly, and are made for those alone who asked for some.
    for searched in (False, True):
        of = [i for i in prepared if (jobs[i].alternatives > 0) == searched]
        most = max((jobs[i].alternatives for i in of), default=0)
        readings = model.read_prepared((prepared[i] for i in of), batch_size=BATCH_SIZE, alternatives=most)
        for i, reading in zip(of, readings, strict=True):
            others = reading.alternatives[: jobs[i].alternatives]
            done[i] = done[i]._replace(reading=replace(reading, alternatives=others))
    return [done[i] for i in range(len(jobs))]


def make_app(models: Mapping[str, Reader[Any]], *, room: int = _AT_ONCE) -> FastAPI:
    """The application.

    Args:
        models: by name; a request that names none gets the one that suits the picture's size (`crnn_jax.weights.BEST`, or the
            first network of those that read together), or the only one.
        room: pictures that may be in hand, from when their request has come until it is answered; a request for which there
            are not enough places is refused as a whole, with status 503.
    """
    queues = {name: BatchQueue(functools.partial(_work, model)) for name, model in models.items()}
    places, pixels = _Places(room), _Pixels(_PIXELS)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = [asyncio.create_task(queue.run()) for queue in queues.values()]
        yield
        for task in running:
            task.cancel()
        for queue in queues.values():
            queue.close()

    app = FastAPI(title="crnn_jax", version=__version__, description="Reads text in pictures.", lifespan=lifespan)

    @app.middleware("http")
    async def bound_body(request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Refuses a body by its stated length, before any of it is kept. One in chunks ends where it likes."""
        length = "" if "transfer-encoding" in request.headers else request.headers.get("content-length", "")
        if request.method == "POST" and not (length.isdecimal() and int(length) <= _BODY):
            return JSONResponse({"detail": f"a request must say its length, and have at most {_BODY} bytes"}, 413)
        return await call_next(request)

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def page() -> str:
        return _PAGE.read_text(encoding="utf-8")

    @app.get("/health")
    def health() -> dict[str, object]:
        """Which models there are, and how many pictures wait for each."""
        return {"status": "ok", "waiting": {name: queue.waiting for name, queue in queues.items()}}

    @app.get("/sample/{task}", response_class=Response)
    def sample(task: str, seed: Annotated[int, Query(ge=0, lt=2**31)] = 0) -> Response:
        """A picture of one of our tasks, drawn now."""
        if task not in tasks.TASKS:
            raise HTTPException(404, f"there is no task {task!r}; there are: {', '.join(tasks.TASKS)}")
        buffer = io.BytesIO()
        Image.fromarray(tasks.by_name(task).source("generate", 0)[seed].image).save(buffer, "PNG")
        return Response(buffer.getvalue(), media_type="image/png")

    @app.post("/read")
    async def read(
        files: Annotated[list[UploadFile], File(description="pictures")],
        model: Annotated[str | None, Query(description="which reads; the default is told from a picture's size")] = None,
        explained: Annotated[bool, Query(description="send pictures of how it came about")] = False,
        alternatives: Annotated[int, Query(description="how many other likely texts to tell", ge=0, le=_OTHERS)] = 0,
    ) -> list[Answer]:
        """Reads pictures, in their order."""
        if len(files) > _FILES:
            raise HTTPException(413, f"{len(files)} pictures, {_FILES} are the most of one request")
        with places.taken(len(files)):
            # All of them, though one be wrong: until the last is done there are pictures in hand.
            each = (one(file, model, explained, alternatives) for file in files)
            answers = await asyncio.gather(*each, return_exceptions=True)
        for given in answers:
            if isinstance(given, BaseException):
                raise given
        return [given for given in answers if isinstance(given, Answer)]

    async def one(file: UploadFile, name: str | None, explained: bool, alternatives: int) -> Answer:
        if (file.size or 0) > _BYTES:
            raise HTTPException(413, f"{file.filename}: has more than {_BYTES} bytes")
        try:
            size = await run_in_threadpool(count_pixels, file.file, _PIXELS)
            async with pixels.taken(size):
                image = await run_in_threadpool(read_image, file.file)
                chosen = name or _suiting(image)
                if chosen not in queues:
                    raise UserError(f"which model reads it? There are: {', '.join(queues)}")
                done = await queues[chosen](_Job(image, explained, alternatives))
        except UserError as error:
            raise HTTPException(422, f"{file.filename}: {error}") from None
        if done.reading is None:
            raise HTTPException(422, f"{file.filename}: {done.problem}")
        return answer(done.reading, chosen, done.pictures, done.note)

    def _suiting(image: np.ndarray) -> str | None:
        if len(queues) == 1:
            return next(iter(queues))
        best = model_for(image.shape[1], image.shape[0])
        names = [] if best is None else list(networks(best))
        return next(filter(queues.__contains__, (",".join(names), *names[:1])), None)

    return app
