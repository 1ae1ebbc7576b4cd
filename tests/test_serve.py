"""The web page and the endpoint."""

import asyncio
import base64
import io
import shutil
import socket
import threading
import time
import weakref
from dataclasses import replace

import httpx
import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image

import crnn_jax
from crnn_jax import tasks, weights
from crnn_jax.cli.arguments import load_all, networks
from crnn_jax.recognizer import Recognizer
from crnn_jax.serve import app
from crnn_jax.serve.answers import explain
from crnn_jax.serve.app import _AT_ONCE, make_app
from crnn_jax.serve.queue import BatchQueue


@pytest.fixture(scope="module")
def models():
    return {name: crnn_jax.load(name) for name in ("captcha", "level1", "level2")}


@pytest.fixture(scope="module")
def client(models):
    with TestClient(make_app(models)) as client:
        yield client


def png(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def send(client, *pictures, **query):
    return client.post("/read", params=query, files=[("files", (f"{i}.png", data)) for i, data in enumerate(pictures)])


def test_pictures_of_each_task_are_read_by_the_model_that_suits_them(client):
    for name in ("captcha", "level1", "level2"):
        source = tasks.by_name(name).source("generate", 5)
        (answer,) = send(client, png(source[0].image)).json()
        assert answer["model"] == name
        assert answer["text"] == source[0].text
        assert len(answer["characters"]) == len(answer["text"])
        assert (answer["value"] is None) == (name == "captcha")
        boxes = [character["box"] for character in answer["characters"]]
        assert [box is None for box in boxes] == [character == ";" for character in answer["text"]]
        assert all(box[0] < box[2] and box[1] < box[3] for box in boxes if box)


def test_networks_read_together_where_that_is_best(models):
    picture = tasks.by_name("level1").source("generate", 5)[0]
    model = weights.BEST["level1"]
    best = ",".join(networks(model))
    with TestClient(make_app({**models, best: load_all([model], None, "float32")[model]})) as client:
        (answer,) = send(client, png(picture.image), explained=True).json()
        assert (answer["model"], answer["text"]) == (best, picture.text)
        assert [shown["name"] for shown in answer["pictures"]] == ["seen", "columns"]
        assert send(client, png(picture.image), model="level1").json()[0]["model"] == "level1"


def test_it_is_explained_on_request(client):
    picture = tasks.by_name("level2").source("generate", 5)[0].image
    (answer,) = send(client, png(picture), explained=True).json()
    names = [shown["name"] for shown in answer["pictures"]]
    assert names[-3:] == ["boxes", "seen", "columns"]
    assert all(shown["image"].startswith("data:image/png;base64,") for shown in answer["pictures"])


def test_other_texts_are_told_on_request_of_the_pictures_that_asked(client, models):
    images = [tasks.by_name("level1").source("generate", 5)[i].image for i in range(3)]
    done = app._work(models["level1"], [app._Job(image, alternatives=n) for image, n in zip(images, (2, 0, 1), strict=True)])
    assert [len(one.reading.alternatives) for one in done] == [2, 0, 1]
    expected = [reading.text for reading in models["level1"].read(images)]
    assert [one.reading.text for one in done] == expected
    (answer,) = send(client, png(images[0]), alternatives=2).json()
    likeliest, other = answer["alternatives"]
    assert answer["confidence"] > likeliest["confidence"] >= other["confidence"]
    assert likeliest["text"] != answer["text"]
    assert send(client, png(images[0])).json()[0]["alternatives"] == []
    assert send(client, png(images[0]), alternatives=11).status_code == 422


def test_of_a_picture_that_is_too_wide_it_is_told(client):
    strip = tasks.level2().source("train", 0)[0].image
    (answer,) = send(client, png(np.tile(strip, (1, 6, 1))), model="level2").json()
    assert answer["note"].startswith("the picture is too wide: the network saw it ")
    assert send(client, png(strip), model="level2").json()[0]["note"] is None


def test_lines_that_were_not_sought_are_not_shown(models):
    strip = tasks.level2().source("train", 0)[0].image
    (done,) = app._work(models["level2"], [app._Job(strip, True)])
    assert [shown.name for shown in done.pictures] == ["seen", "columns"]


def test_what_is_explained_was_prepared_once(models, monkeypatch):
    prepared, prepare = [], Recognizer.prepare
    monkeypatch.setattr(Recognizer, "prepare", lambda self, image: prepared.append(image) or prepare(self, image))
    app._work(models["level2"], [app._Job(tasks.level2().source("generate", 5)[0].image, True)])
    assert len(prepared) == 1


def test_a_picture_without_columns_is_explained_as_far_as_it_can_be(trained):
    model = crnn_jax.load(trained)
    architecture, preparation = replace(model.architecture, drop_columns=2), replace(model.preparation, widths=(64,))
    narrow = crnn_jax.Recognizer(architecture, model.alphabet, preparation, model.variables)
    image = np.zeros((16, 1, 3), np.uint8)
    assert [shown.name for shown in explain(narrow, image, narrow.prepare(image))] == ["seen"]


def test_a_sample_can_be_read(client):
    sample = client.get("/sample/level1", params={"seed": 3})
    assert sample.headers["content-type"] == "image/png"
    assert send(client, sample.content).json()[0]["model"] == "level1"
    assert client.get("/sample/level9").status_code == 404


def test_it_tells_of_itself(client):
    assert client.get("/health").json()["status"] == "ok"
    told = client.get("/openapi.json").json()
    assert "/read" in told["paths"]
    assert "box" in told["components"]["schemas"]["Character"]["properties"]
    assert "crnn_jax reads pictures" in client.get("/").text


@pytest.mark.parametrize(
    ("data", "status", "message"),
    [
        (b"no picture", 422, "can't be read as a picture"),
        (b"", 422, "can't be read as a picture"),
        (png(np.zeros((480, 640, 3), np.uint8)), 422, "which model reads it?"),
        (png(np.full((400, 800, 3), 255, np.uint8)), 422, "no line of text was found"),
        (b"x" * (21 * 2**20), 413, "more than"),
    ],
)
def test_what_can_not_be_read_is_named(client, data, status, message):
    response = send(client, data)
    assert response.status_code == status
    assert message in response.json()["detail"]


def test_a_large_picture_is_refused_before_it_is_decoded(client):
    buffer = io.BytesIO()
    Image.new("1", (7_000, 7_000)).save(buffer, "PNG")
    response = send(client, buffer.getvalue())
    assert response.status_code == 422
    assert "7000x7000 pixels" in response.json()["detail"]


def test_a_body_without_a_bound_is_refused(client):
    """Whatever length is stated: one that comes in chunks may go on for ever."""
    for length in ({}, {"Content-Length": "5"}):
        response = client.post("/read", content=iter([b"x"]), headers={"Transfer-Encoding": "chunked", **length})
        assert response.status_code == 413
        assert "must say its length" in response.json()["detail"]


def test_a_fault_of_ours_is_told_of_its_picture_alone(models, caplog):
    class Faulty:
        members = models["level1"].members
        read_prepared = models["level1"].read_prepared
        squeezed = models["level1"].squeezed

        def prepare(self, image):
            if image.max() == 7:
                raise ZeroDivisionError
            return models["level1"].prepare(image)

    good, bad = (app._Job(np.full((60, 180, 3), level, np.uint8)) for level in (200, 7))
    first, second, third = app._work(Faulty(), [good, bad, good])
    assert first.reading is not None
    assert third.reading is not None
    assert second.problem == "can't be prepared"
    assert "a picture of 180x60 can't be prepared" in caplog.text


def test_too_many_files(client):
    assert send(client, *[b"x"] * 33).status_code == 413


def test_a_queue_gathers_and_survives_errors():
    sizes = []

    def work(items):
        sizes.append(len(items))
        time.sleep(0.05)
        if "bad" in items:
            raise ValueError("bad")
        return [item.upper() for item in items]

    async def scenario():
        queue = BatchQueue(work, batch_size=4)
        running = asyncio.create_task(queue.run())
        first = asyncio.create_task(queue("a"))
        await asyncio.sleep(0.01)
        rest = [asyncio.create_task(queue(c)) for c in "bcdefg"]
        assert [await task for task in (first, *rest)] == list("ABCDEFG")
        with pytest.raises(ValueError, match="bad"):
            await queue("bad")
        assert await queue("x") == "X"
        running.cancel()
        queue.close()

    asyncio.run(scenario())
    assert sizes == [1, 4, 2, 1, 1]


def test_a_queue_keeps_nothing_of_what_is_done():
    class Picture:
        pass

    async def scenario():
        queue = BatchQueue(lambda items: [None] * len(items))
        running = asyncio.create_task(queue.run())
        picture = Picture()
        seen = weakref.ref(picture)
        await queue(picture)
        del picture
        await asyncio.sleep(0.05)
        assert seen() is None
        running.cancel()
        queue.close()

    asyncio.run(scenario())


def test_a_burst_is_answered_or_refused_and_nothing_is_lost(models, monkeypatch):
    """Twice as many as there are places for, while nothing is done; those that were refused come again."""
    may_work = threading.Event()

    def slow_work(*arguments):
        assert may_work.wait(60)
        return work(*arguments)

    work = app._work
    monkeypatch.setattr(app, "_work", slow_work)
    examples = [tasks.captcha().source("generate", 5)[i] for i in range(8)]
    pictures = [png(example.image) for example in examples]

    async def scenario():
        made = make_app({"captcha": models["captcha"]})
        transport = httpx.ASGITransport(made)
        async with made.router.lifespan_context(made), httpx.AsyncClient(transport=transport, base_url="http://x") as client:

            def read(i):
                return client.post("/read", files={"files": ("a.png", pictures[i % 8])})

            burst = [asyncio.create_task(read(i)) for i in range(2 * _AT_ONCE)]
            while sum(task.done() for task in burst) < _AT_ONCE:
                await asyncio.sleep(0.01)
            may_work.set()
            answers = await asyncio.gather(*burst)
            refused = [i for i, answer in enumerate(answers) if answer.status_code == 503]
            assert len(refused) == _AT_ONCE
            for i in refused:
                assert answers[i].headers["retry-after"] == "1"
            again = await asyncio.gather(*map(read, refused))
            for i, answer in zip(refused, again, strict=True):
                answers[i] = answer
            assert [answer.status_code for answer in answers] == [200] * 2 * _AT_ONCE
            texts = [answer.json()[0]["text"] for answer in answers]
            assert texts == texts[:8] * (len(texts) // 8)
            assert sum(text == example.text for text, example in zip(texts, examples, strict=False)) >= 6

    asyncio.run(asyncio.wait_for(scenario(), 120))


def test_a_request_is_taken_whole_or_refused_whole(models):
    picture = png(tasks.captcha().source("generate", 5)[0].image)
    with TestClient(make_app({"captcha": models["captcha"]}, room=2)) as client:
        refused = send(client, picture, picture, picture)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        for _ in range(3):  # what was wrong gives its places back
            assert send(client, picture, b"no picture").status_code == 422
        assert len(send(client, picture, picture).json()) == 2


def test_pictures_come_into_memory_as_there_is_room_for_their_pixels(models, monkeypatch):
    batches = []

    def watched(model, jobs):
        batches.append(len(jobs))
        return work(model, jobs)

    work = app._work
    monkeypatch.setattr(app, "_work", watched)
    monkeypatch.setattr(app, "_PIXELS", 2 * 170 * 80 + 1)
    examples = [tasks.captcha().source("generate", 5)[i] for i in range(8)]
    with TestClient(make_app({"captcha": models["captcha"]})) as client:
        answers = send(client, *(png(example.image) for example in examples)).json()
        assert len(answers) == sum(batches) == 8
        assert max(batches) <= 2
        assert send(client, png(np.zeros((170, 161, 3), np.uint8))).status_code == 422


@pytest.fixture(scope="module")
def address(models):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(make_app(models), port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


_DROP = """
const bytes = Uint8Array.from(atob(arguments[0]), c => c.charCodeAt(0));
const dataTransfer = new DataTransfer();
dataTransfer.items.add(new File([bytes], arguments[1], { type: "image/png" }));
for (const kind of ["dragover", "drop"]) {
  const event = new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true });
  document.getElementById("drop").dispatchEvent(event);
  if (!event.defaultPrevented) throw new Error(`${kind} is left to the browser, which would open the file`);
}
"""


def drop(browser, path):
    """Drops a file on the page."""
    browser.execute_script(_DROP, base64.b64encode(path.read_bytes()).decode(), path.name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_page_in_a_browser(address, tmp_path):
    """In Debian's Chromium, where it is installed."""
    webdriver = pytest.importorskip("selenium.webdriver")
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("no chromium")
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--window-size=1100,1700",
    ):
        options.add_argument(argument)
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        browser.get(address)
        for name in ("captcha", "level1", "level2"):
            path = tmp_path / f"{name}.png"
            example = tasks.by_name(name).source("generate", 5)[0]
            path.write_bytes(png(example.image))
            if name == "captcha":
                drop(browser, path)
            else:
                browser.find_element(By.ID, "files").send_keys(str(path))
            shown = WebDriverWait(browser, 30).until(lambda b: b.find_element(By.CSS_SELECTOR, "article .text"))
            assert shown.text.split(" = ")[0] == example.text
            WebDriverWait(browser, 30).until(lambda b: b.find_element(By.CSS_SELECTOR, ".given canvas"))
            boxes = {where: browser.find_elements(By.CSS_SELECTOR, f"{where} .box") for where in (".seen", ".given")}
            assert len(boxes[".seen"]) == len(example.text)
            assert len(boxes[".given"]) == len(example.text.replace(";", ""))
            browser.save_screenshot(str(tmp_path / f"page-{name}.png"))
            browser.refresh()
        browser.find_element(By.CSS_SELECTOR, "[data-sample=level1]").click()
        WebDriverWait(browser, 30).until(lambda b: b.find_element(By.CSS_SELECTOR, "article .text"))
        (tmp_path / "broken.png").write_text("no picture")
        browser.find_element(By.ID, "files").send_keys(str(tmp_path / "broken.png"))
        wrong = WebDriverWait(browser, 30).until(lambda b: b.find_element(By.CSS_SELECTOR, "article .error"))
        assert "can't be read as a picture" in wrong.text
    finally:
        browser.quit()


def test_formats_that_run_programs_are_not_opened(client):
    response = send(client, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    assert response.status_code == 422
    assert "cannot identify" in response.json()["detail"]


def test_a_body_is_refused_by_its_length(client):
    response = client.post("/read", content=b"x", headers={"content-length": str(10**9)})
    assert response.status_code == 413
