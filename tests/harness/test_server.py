"""The page server and whatever is sent to it: an answer in one line, never a failure of its own."""

import http.client
import json
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bench.harness.server import Job, PageServer


def verdict(name, outputs):
    """As the session's: it knows the sets `0`, `1` and `last`."""
    return {"ok": [True, True][0 if name == "last" else int(name)], "count": len(outputs)}


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    program = tmp_path_factory.mktemp("bundle") / "program.json"
    program.write_text("{}")
    with PageServer() as server:
        job = Job(task={"a": 1}, files={"program.json": program}, verdict=verdict)
        server.add(job)
        yield server, job


def ask(opened, method, path, body=None, **headers):
    server, job = opened
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request(method, f"/r/{job.token}/{path}", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "path",
    [
        "pages/%00.js", "pages/" + "a" * 5000 + ".js", "bundle/%00", "shaders/%ff%fe.wgsl",
        "pages/..%2f..%2fx.js", "pages/" + "a/" * 2000 + "b.js", "nowhere/x.js", "pages/%ED%A0%80.js",
    ],
)  # fmt: skip
def test_names_that_no_file_has(opened, path):
    status, words = ask(opened, "GET", path)
    assert status in (400, 404) and b"Traceback" not in words and words.count(b"\n") == 0


@pytest.mark.parametrize(
    "body",
    ["[]", "3", "null", '"x"', "{}", '{"kind": 3}', '{"kind": "probe", "data": []}', "{", "[" * 100_000, ""],
)
def test_reports_that_are_none(opened, body):
    before = opened[1].events.qsize()
    status, words = ask(opened, "POST", "event", body, **{"Content-Type": "application/json"})
    assert status == 400 and b"Traceback" not in words and len(words) < 300
    assert opened[1].events.qsize() == before


@pytest.mark.parametrize(
    ("path", "body"),
    [("output/0/y", b"abc"), ("verdict/no-set", b""), ("verdict/99", b""), ("verdict/-", b"")],
)
def test_outputs_and_sets_that_are_none(opened, path, body):
    assert ask(opened, "POST", path, body)[0] == 400


def test_an_unknown_charset(opened):
    assert (
        ask(opened, "POST", "event", b"{}", **{"Content-Type": "application/json; charset=klingon"})[0] == 400
    )


def test_what_a_page_sends_is_taken(opened):
    job = opened[1]
    assert ask(opened, "GET", "task.json") == (200, json.dumps(job.task).encode())
    assert ask(opened, "POST", "event", '{"sequence": 1, "kind": "done", "data": null}')[0] == 200
    assert ask(opened, "POST", "output/0/y", b"\0" * 8)[0] == 200
    assert json.loads(ask(opened, "POST", "verdict/0")[1]) == {"ok": True, "count": 1}


ROOMS = st.sampled_from(["pages", "shaders", "bundle", "event", "output", "verdict", "task.json", ""])
WORDS = st.one_of(st.text(max_size=40), st.sampled_from(["..", ".", "\0", "index.html", "a" * 5000]))
BODIES = st.one_of(
    st.none(),
    st.binary(max_size=60),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["kind", "data", "x"]), inner, max_size=3)
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH"]),
    parts=st.tuples(ROOMS, st.lists(WORDS, max_size=3)),
    body=BODIES,
    kind=st.sampled_from(["application/json", "text/plain; charset=x", "application/octet-stream"]),
)
@hypothesis_settings(max_examples=300)
def test_nothing_that_is_sent_makes_it_fail(opened, method, parts, body, kind):
    room, names = parts
    path = "/".join(
        [room, *(urllib.parse.quote(name.encode("utf-8", "surrogatepass"), safe="") for name in names)]
    )
    status, words = ask(opened, method, path, body, **{"Content-Type": kind})
    assert status < 500 and b"Traceback" not in words


def test_parts_of_a_file(opened, tmp_path):
    """What the page asks for of large weights: bytes from here to there, and how many there are in all."""
    server, job = opened
    data = bytes(range(256)) * 5
    (tmp_path / "weights.safetensors").write_bytes(data)
    job.files["weights.safetensors"] = tmp_path / "weights.safetensors"
    for begin, end in ((0, 1), (7, 300), (1200, 1280), (1200, 99_999)):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        path = f"/r/{job.token}/bundle/weights.safetensors"
        connection.request("GET", path, headers={"Range": f"bytes={begin}-{end - 1}"})
        answer = connection.getresponse()
        last = min(end, len(data)) - 1
        assert answer.status == 206 and answer.read() == data[begin:end]
        assert answer.headers["Content-Range"] == f"bytes {begin}-{last}/{len(data)}"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        connection.close()
    status, _ = ask(opened, "GET", "bundle/weights.safetensors", Range="bytes=5000-6000")
    assert status == 416
    assert ask(opened, "GET", "bundle/weights.safetensors") == (200, data)
