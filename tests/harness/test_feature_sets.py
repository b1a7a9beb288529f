"""Feature sets: the flags that a browser is started with, and what a row says of what it got."""

import sys
from pathlib import Path

import pytest
from records import environment, request

from bench.browsers import BROWSERS
from bench.browsers.base import Build
from bench.errors import InputError
from bench.harness.doctor import Examination
from bench.harness.feature_sets import lacking
from bench.harness.run import _departures
from bench.plan.cells import make_plan
from bench.plan.request import GPU_FEATURES
from bench.record import Effective
from bench.settings import BROWSER_VARIABLES, load_settings

UNSAFE, HIDDEN = "--enable-unsafe-webgpu", "--disable-dawn-features=allow_unsafe_apis"
F16 = "--enable-dawn-features=vulkan_enable_f16_on_nvidia"
ALL = "--enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia"


@pytest.fixture
def flags(monkeypatch, tmp_path):
    """The command line of a browser for a set, on a system, with variables of the environment."""
    monkeypatch.chdir(tmp_path)
    for variable in (name for names in BROWSER_VARIABLES.values() for name in names.values()):
        monkeypatch.delenv(variable, raising=False)

    def of(features, name="chrome", system="linux", **variables):
        monkeypatch.setattr(sys, "platform", system)
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        browser, settings = BROWSERS[name], load_settings()
        build = browser.with_features(Build(name, Path("/x"), None, "setting"), features, settings)
        return browser.flags(build, settings)

    return of


@pytest.mark.parametrize("name", ["chrome", "edge"])
def test_each_set_has_its_flags(flags, name):
    gpu = {
        features: [one for one in flags(features, name) if "webgpu" in one or "dawn" in one]
        for features in GPU_FEATURES
    }
    common = "--enable-webgpu-developer-features"
    assert gpu == {
        "stock": [common, UNSAFE, HIDDEN],
        "f16": [common, UNSAFE, HIDDEN, F16],
        "all": [common, UNSAFE, ALL],
    }


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_where_the_adapter_shows_by_itself_only_the_largest_set_is_unsafe(flags, system):
    assert not {UNSAFE, HIDDEN} & set(flags("stock", system=system))
    assert not {UNSAFE, HIDDEN} & set(flags("f16", system=system)) and F16 in flags("f16", system=system)
    assert {UNSAFE, ALL} <= set(flags("all", system=system))


def test_further_flags_are_for_every_set_and_lists_of_features_are_one(flags):
    more = "--use-angle=vulkan --enable-dawn-features=dump_shaders --enable-features=Vulkan"
    for features in GPU_FEATURES:
        found = flags(features, CHROME_GPU_FLAGS=more)
        assert "--use-angle=vulkan" in found and UNSAFE in found
        lists = [one for one in found if one.startswith(("--enable-features=", "--enable-dawn-features="))]
        assert len(lists) == 2 and lists[0].endswith(",Vulkan") and lists[1].endswith("dump_shaders")


def test_the_flags_of_a_set_take_the_place_of_all_others(flags):
    """As on a host whose CHROME_GPU_FLAGS show everything: the stock set must not."""
    found = flags("stock", CHROME_GPU_FLAGS=ALL, CHROME_FLAGS_STOCK="--use-angle=vulkan '--x=a b'")
    assert found[-2:] == ["--use-angle=vulkan", "--x=a b"] and not {UNSAFE, ALL, HIDDEN} & set(found)
    assert flags("f16")[-1] == f"{F16},allow_unsafe_apis"
    Path("bench.toml").write_text('[chrome]\nflags_f16 = "--of-the-file"\n')
    assert "--of-the-file" in flags("f16") and ALL not in flags("f16")


def test_flags_that_no_shell_would_split_are_refused(flags):
    with pytest.raises(InputError, match=r"chrome\.flags_all.*No closing quotation"):
        flags("all", CHROME_FLAGS_ALL="--x='a")


def test_a_browser_without_such_flags_is_started_alike(flags):
    assert flags("stock", "firefox") == flags("f16", "firefox") == flags("all", "firefox")


@pytest.mark.parametrize(
    ("asked", "ran", "said"),
    [
        ("stock", "stock", None),
        ("stock", "f16", None),  # what that browser shows to everybody
        ("stock", "all", "feature set stock was requested, the device had all"),
        ("f16", "f16", None),
        ("f16", "stock", "feature set f16 was requested, the device had stock"),
        ("f16", "all", "feature set f16 was requested, the device had all"),
        ("all", "f16", "feature set all was requested, the device had f16"),
        ("all", "all", None),
        (None, "f16", None),
        ("f16", None, None),
    ],
)
def test_a_row_says_what_it_had_less_or_more(asked, ran, said):
    requested = request(gpu_features=asked)
    effective = Effective(platform="webgpu", bits=4, device="gpu", engine="native", features=ran)
    assert _departures(requested, None, effective, environment()) == ([said] if said else [])


def test_what_a_build_lacks_has_a_name():
    build = Build("chrome", None, None, "setting")
    bare = Examination(build)
    assert lacking(bare, "f16") == "with its flags WebGPU does not run"
    probe = {"device": {"opens": True}, "webgpu": {"lacks": {"f16": None, "all": "matrix units"}}}
    known = Examination(build, probe=probe, adapter={"name": "A"})
    assert [lacking(known, one) for one in GPU_FEATURES] == [None, None, "no matrix units"]


def test_the_processor_has_none():
    with pytest.raises(InputError, match=r"gpu-features f16 .* platform wasm uses no GPU"):
        make_plan([request(platform="wasm", engine="ort-web", gpu_features="f16")], 0)
    assert make_plan([request(platform="wasm", engine="ort-web")], 0).cells


def test_a_plan_of_before_keeps_its_hash():
    """A request of an older database has no set; a new one that names none is of the stock set."""
    older, newer = (make_plan([request(gpu_features=one)], 7).hash for one in (None, "stock"))
    assert older == newer != make_plan([request(gpu_features="f16")], 7).hash
