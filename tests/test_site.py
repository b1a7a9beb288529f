"""The documentation's site: built without a network and read without one, from a folder too."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from bench.browsers import BROWSERS
from bench.browsers.process import SessionSpace
from bench.settings import load_settings

ROOT = Path(__file__).resolve().parent.parent
# What a browser fetches by itself, unlike a link that somebody follows.
_FETCHED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src")}


class Page(HTMLParser):
    """What a page fetches, and where it leads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if (tag, name) in _FETCHED and value:
                self.fetched.append(value)
            elif tag == "a" and name == "href" and value:
                self.links.append(value)
            elif name == "id" and value:
                self.anchors.add(value)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Built as `make site` does, with no way out."""
    if not (ROOT / "node_modules" / "iframe-worker").is_dir():
        pytest.skip("node_modules is not there: type `make site`, which fetches it")
    folder = tmp_path_factory.mktemp("site")
    proxies = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    nowhere = dict.fromkeys(proxies, "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and not done.stdout + done.stderr, done.stdout + done.stderr
    return folder


def test_every_page_leads_somewhere_is_found_and_fetches_nothing_from_elsewhere(site):
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    pages = {path: page for path, page in pages.items() if path.name != "404.html"}
    assert len(pages) > 35
    problems = []
    for path, page in pages.items():
        for address in [*page.fetched, *page.links]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if address in page.fetched:
                    problems.append(f"{path.name} fetches {address}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                problems.append(f"{path.name}: {address} is not there")
            elif parts.fragment and target in pages and parts.fragment not in pages[target].anchors:
                problems.append(f"{path.name}: {address} has no such part")
    assert problems == []
    for path in site.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"(?:url\([\"']?|@import [\"'])(?:https?:)?//[^)\"']+", text) == [], path
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    places = {one["location"].partition("#")[0] for one in index["docs"]}
    assert {"tutorial.html", "troubleshooting.html", "browsers/edge.html", "results.html"} <= places
    assert {f"notebooks/{name}.html" for name in ("first_look", "regression_hunt")} <= places


@pytest.mark.browser
def test_search_works_from_a_folder(site):
    """Without a server: what is searched for is found, and nothing is fetched from elsewhere."""
    if not BROWSERS["chrome"].builds(load_settings()):
        pytest.skip(f"chrome is not on this machine: {BROWSERS['chrome'].remedy}")
    settings = load_settings()
    browser = BROWSERS["chrome"]
    with SessionSpace() as space, browser.start(browser.find(None, settings), space, settings) as driver:
        driver.get((site / "index.html").as_uri())
        box = driver.find_element(By.CSS_SELECTOR, ".md-search__input")
        driver.execute_script("arguments[0].focus()", box)
        box.send_keys("vulkan")
        found = WebDriverWait(driver, 30).until(
            lambda driver: driver.find_elements(By.CSS_SELECTOR, ".md-search-result__link")
        )
        assert any("gpu-host" in one.get_attribute("href") for one in found)
        fetched = driver.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
        assert all(address.startswith("file:") for address in fetched), fetched
