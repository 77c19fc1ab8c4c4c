"""The built documentation: its links, and how a browser shows it.

``tox run -e docs`` builds the site and runs these tests.
"""

import shutil
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest

SITE = Path(__file__).parents[2] / "docs" / "_build" / "html"
PAGES = [
    "index",
    "getting_started",
    "user_guide/network",
    "how_to/own_cifs",
    "auto_examples/index",
    "auto_examples/plot_quickstart",
    "auto_examples/understand/plot_contributions_on_a_structure",
    "results/accuracy",
    "results/speed",
    "api",
    "generated/sklearn_cgcnn.CGCNNRegressor",
    "development/developers",
]
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}

pytestmark = pytest.mark.skipif(
    not (SITE / "index.html").exists(), reason="needs the site of tox run -e docs"
)


class LinksAndAnchors(HTMLParser):
    """What a page links to, and what of it can be linked to."""

    def __init__(self):
        super().__init__()
        self.links, self.anchors = set(), set()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "a" and values.get("href"):
            self.links.add(values["href"])
        self.anchors.update(values[key] for key in ("id", "name") if values.get(key))


def read_page(path):
    """Return the links and the anchors of a page."""
    parser = LinksAndAnchors()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser


def test_every_internal_link_leads_somewhere():
    pages = {path: read_page(path) for path in SITE.rglob("*.html")}
    missing = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve()
            target = path if not parts.path else target
            is_there = target.exists() and (
                not parts.fragment
                or target not in pages
                or unquote(parts.fragment) in pages[target].anchors
            )
            if not is_there:
                missing.append(f"{path.relative_to(SITE)}: {link}")
    assert len(pages) > 100
    assert not missing


class Silent(SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def address():
    """Address of the site, served by this process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(SITE)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = map(shutil.which, ("chromium", "chromedriver"))
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromedriver (Debian: chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield browser
    browser.quit()


def resize(browser, device):
    """Show pages as on a desktop or on a phone."""
    width, height = WIDTHS[device]
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {
            "width": width,
            "height": height,
            "deviceScaleFactor": 1,
            "mobile": device == "phone",
        },
    )


@pytest.mark.parametrize("device", WIDTHS)
@pytest.mark.parametrize("page", PAGES)
def test_pages_fit_the_screen_and_raise_no_errors(browser, address, page, device):
    resize(browser, device)
    browser.get_log("browser")
    browser.get(f"{address}/{page}.html")
    root = "return document.documentElement"
    width = browser.execute_script(f"{root}.clientWidth")
    assert browser.execute_script(f"{root}.scrollWidth") <= width
    assert [
        entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"
    ] == []


@pytest.mark.parametrize(
    ("question", "answer"),
    [("checkpoint_dir", "training"), ("voronoi", "graphs"), ("conformal", "uncertain")],
)
def test_search_finds_pages(browser, address, question, answer):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    resize(browser, "desktop")
    browser.get(f"{address}/search.html?q={question}")

    def has_answer(browser):  # results appear one after another
        hits = browser.find_elements(By.CSS_SELECTOR, "#search-results li a")
        return any(answer in hit.get_attribute("href").lower() for hit in hits)

    WebDriverWait(browser, 20).until(
        has_answer, f"no page about {answer} is found for {question}"
    )
