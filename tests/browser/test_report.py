"""The report in real browsers: sorting, filtering, links, no error, no request, no barrier for anybody."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from records import fill, record, request
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from bench.browsers import BROWSERS
from bench.browsers.process import SessionSpace
from bench.harness.outcome import Outcome
from bench.report.html import make_report, write_html
from bench.settings import load_settings
from bench.store import open_store

from .conftest import require

pytestmark = pytest.mark.browser
AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
# Put in before the page's own script can speak: every error and every refused or made request is kept.
LISTEN = (
    "<script>window.heard = [];"
    "addEventListener('error', (e) => heard.push('error: ' + e.message), true);"
    "addEventListener('unhandledrejection', (e) => heard.push('rejection: ' + e.reason));"
    "addEventListener('securitypolicyviolation', (e) => heard.push('policy: ' + e.blockedURI));"
    "</script>"
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A report of every kind of outcome, of arms with several sessions, and of foreign words."""
    folder = tmp_path_factory.mktemp("report")
    with open_store("sqlite://") as store:
        fill(store)
        asked = [request(bits=bits, model="<b>&model", sequence_length=32) for bits in (16, 4)] * 3
        cells = store.create_campaign("blocks", asked, seed=1, settings={}, blocks=[0, 0, 1, 1, 2, 2]).cells
        for cell in cells:
            store.record(cell.id, record(cell.request, median=5.0 + cell.id))
        (cell,) = store.create_campaign(
            "experimental",
            [request(platform="webnn", bits=2, experimental_precision=True)],
            seed=1,
            settings={},
        ).cells
        store.record(cell.id, record(cell.request, Outcome.ERROR))
        write_html(make_report(store), folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module", params=["chrome", "firefox"])
def driver(request):
    require(request.param)
    settings = load_settings()
    browser = BROWSERS[request.param]
    with SessionSpace() as space:
        opened = browser.start(browser.find(None, settings), space, settings)
        try:
            yield opened
        finally:
            opened.quit()


@pytest.fixture
def opened(driver, path):
    driver.set_window_size(1280, 900)
    driver.get("about:blank")
    driver.get(path.as_uri())
    return driver


def rows(driver, table):
    """The texts of the visible rows."""
    return driver.execute_script(
        "return [...document.querySelectorAll(`#${arguments[0]}-table tbody tr`)].filter(r => !r.hidden)"
        ".map(r => [...r.cells].map(c => c.textContent))",
        table,
    )


def heads(driver, table):
    return [cell.text.split(" ")[0] for cell in driver.find_elements(By.CSS_SELECTOR, f"#{table}-table th")]


def head(driver, table, name):
    for cell in driver.find_elements(By.CSS_SELECTOR, f"#{table}-table th"):
        if cell.text.startswith(name):
            return cell
    raise AssertionError(f"{table} has no column {name}")


def press(driver, cell, key=Keys.ENTER):
    """By keyboard, as somebody without a mouse would."""
    cell.find_element(By.TAG_NAME, "button").send_keys(key)


def test_a_heading_sorts_both_ways_by_keyboard_and_blanks_stay_last(opened):
    cell = head(opened, "arms", "latency")
    place = [one.text for one in opened.find_elements(By.CSS_SELECTOR, "#arms-table th")].index(cell.text)

    def shown():
        return [row[place].split(" ")[0] for row in rows(opened, "arms")]

    before = sorted(shown())
    for key, said, sign in ((Keys.ENTER, "ascending", 1), (Keys.SPACE, "descending", -1)):
        press(opened, cell, key)
        assert cell.get_attribute("aria-sort") == said
        texts = shown()
        values = [float(text) for text in texts if text]
        assert values == sorted(values, key=lambda value: sign * value) and len(values) > 10
        assert all(not text for text in texts[len(values) :]) and sorted(texts) == before
    press(opened, head(opened, "arms", "outcome"))
    assert cell.get_attribute("aria-sort") is None


def test_a_filter_hides_and_counts(opened):
    box = opened.find_element(By.CSS_SELECTOR, "section[aria-labelledby=runs] input")
    status = opened.find_element(By.CSS_SELECTOR, "section[aria-labelledby=runs] output")
    everything = len(rows(opened, "runs"))
    assert status.text == f"{everything} rows"
    box.send_keys("firefox TIMEOUT")
    assert len(rows(opened, "runs")) == 1 and status.text == f"1 of {everything} rows"
    box.clear()
    box.send_keys("no such thing")
    assert rows(opened, "runs") == []
    opened.find_element(By.CSS_SELECTOR, "section[aria-labelledby=runs] button.all").click()
    assert len(rows(opened, "runs")) == everything and box.get_attribute("value") == ""
    select = opened.find_element(By.CSS_SELECTOR, "section[aria-labelledby=runs] select")
    select.find_element(By.XPATH, "option[.='fallback']").click()
    assert len(rows(opened, "runs")) == 2


def test_a_number_leads_to_its_runs(opened):
    opened.find_element(By.CSS_SELECTOR, "section[aria-labelledby=runs] input").send_keys("nothing")
    link = opened.find_element(By.CSS_SELECTOR, "#arms-table a[data-runs]")
    wanted = link.get_attribute("data-runs").split(" ")
    assert len(wanted) == 3
    link.click()
    assert [row[0] for row in rows(opened, "runs")] == wanted
    assert opened.switch_to.active_element.get_attribute("id") == f"run-{wanted[0]}"
    assert opened.current_url.endswith(f"#run-{wanted[0]}")


def test_every_link_leads_somewhere_in_the_page(opened):
    broken = opened.execute_script(
        "return [...document.querySelectorAll('a')].map(a => a.getAttribute('href'))"
        ".filter(h => !h.startsWith('#') || !document.getElementById(h.slice(1)))"
    )
    assert broken == []
    hidden = opened.execute_script(
        "return [...document.querySelectorAll('#support-table a')].filter((a) => { a.click();"
        "const found = document.getElementById(a.hash.slice(1));"
        "return found.hidden || !found.offsetHeight; }).length"
    )
    assert hidden == 0


def test_nothing_is_requested_and_nothing_goes_wrong(driver, path, tmp_path):
    """The listener needs a policy that lets it in; else the page is as it was."""
    text = path.read_text(encoding="utf-8")
    policy = text[text.index("script-src '") : text.index("; base-uri")]
    heard = tmp_path / "heard.html"
    changed = text.replace(policy, "script-src 'unsafe-inline'").replace("<title>", LISTEN + "<title>", 1)
    heard.write_text(changed, encoding="utf-8")
    driver.get(heard.as_uri())
    press(driver, head(driver, "arms", "bits"))
    driver.find_element(By.CSS_SELECTOR, "#arms-table a[data-runs]").click()
    assert driver.execute_script("return heard") == []
    assert driver.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []
    if driver.name == "chrome" or "chrome" in driver.name:
        driver.get(path.as_uri())
        assert driver.get_log("browser") == []


def test_the_policy_of_the_page_lets_its_own_script_run_and_no_other(opened):
    assert len(opened.find_elements(By.CSS_SELECTOR, "th button")) > 20
    refused = opened.execute_async_script(
        "const done = arguments[arguments.length - 1], found = [];"
        "addEventListener('securitypolicyviolation', (e) => {"
        "  found.push(e.effectiveDirective); if (found.length === 2) done(found.sort()); });"
        "const s = document.createElement('script'); s.textContent = 'window.other = 1';"
        "const i = new Image(); i.src = 'http://127.0.0.1:9/x.png'; document.body.append(s, i);"
    )
    assert refused == ["img-src", "script-src-elem"]
    assert opened.execute_script("return window.other ?? null") is None


@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("light", 1280),
        ("dark", 400),
        pytest.param("light", 400, marks=pytest.mark.long),
        pytest.param("dark", 1280, marks=pytest.mark.long),
    ],
)
def test_axe_finds_no_barrier(opened, width, scheme, path, tmp_path):
    if not AXE.is_file():
        pytest.skip("axe-core is not there: make types fetches it")
    text = path.read_text(encoding="utf-8")
    if scheme == "dark":  # both browsers alike: what the media query would switch on is switched on
        text = text.replace("@media (prefers-color-scheme: dark)", "@media all")
    page = tmp_path / "page.html"
    # A window may be no narrower than the browser likes: the page stands in a frame of just that width.
    page.write_text(text, encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(
        '<!DOCTYPE html><html lang="en"><title>x</title><iframe title="report" src="page.html" '
        f'width="{width}" height="900" style="border:0"></iframe></html>',
        encoding="utf-8",
    )
    opened.set_window_size(1400, 1000)
    opened.get(frame.as_uri())
    opened.switch_to.frame(0)
    assert opened.execute_script("return innerWidth") == width
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    opened.execute_script(AXE.read_text(encoding="utf-8"))
    found, passed = opened.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run(document, {resultTypes: ['violations'], iframes: false}).then((r) => done(["
        "r.violations.map((v) => `${v.impact} ${v.id}: ${v.nodes.length} ${v.nodes[0].html.slice(0, 160)}`),"
        "r.passes.map((v) => v.id)]), (e) => done([[`serious ${e}`], []]));"
    )
    print(*found, sep="\n", file=sys.stderr)
    assert {"color-contrast", "label", "scrollable-region-focusable"} <= set(passed)  # it did look
    assert [line for line in found if line.startswith(("serious", "critical"))] == []
