"""A real browser on the built pages, with every other host refused.

The site is ``_build/html``, or the folder that ``PAYATTENTION_SITE`` names. It is served
from this machine, compressed as a web server would, so that weights are what a reader's
browser loads. Without Chromium the tests are skipped; in CI they fail.
"""

import functools
import gzip
import http.server
import mimetypes
import os
import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("PAYATTENTION_SITE", ROOT / "_build" / "html"))
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
COMPRESSED = (".html", ".css", ".js", ".svg", ".json", ".txt", ".csv", ".inv", ".ipynb")
mimetypes.add_type("font/woff2", ".woff2")


def missing(what: str) -> None:
    """Skip on a reader's machine, fail in CI."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(what)
    pytest.skip(what)


def page_names() -> list[str]:
    """Every HTML page of the site, as an address below its root."""
    return sorted(
        page.relative_to(SITE).as_posix()
        for page in SITE.rglob("*.html")
        if "_static" not in page.parts
    )


def pytest_generate_tests(metafunc):
    if "page_name" in metafunc.fixturenames:
        metafunc.parametrize("page_name", page_names() or ["index.html"])


class Handler(http.server.BaseHTTPRequestHandler):
    """Files of one folder, compressed where a web server would."""

    protocol_version = "HTTP/1.1"

    def __init__(self, folder: Path, *args):
        self.folder = folder
        super().__init__(*args)

    def do_GET(self):
        path = self.folder / unquote(urlsplit(self.path).path).lstrip("/")
        if path.is_dir():
            path = path / "index.html"
        if not path.is_file():
            self.send_error(404)
            return
        body = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", mimetypes.guess_type(path.name)[0] or "text/plain")
        if path.suffix in COMPRESSED:
            body = gzip.compress(body, mtime=0)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(scope="session")
def site() -> Path:
    """The built site's folder."""
    if not (SITE / "index.html").exists():
        missing(f"no site in {SITE}: make book")
    return SITE


@contextmanager
def serving(folder: Path):
    """The address at which a folder's files are served."""
    handler = functools.partial(Handler, folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="session")
def serve():
    """Serves a folder of a test's own: ``with serve(folder) as address``."""
    return serving


@pytest.fixture(scope="session")
def address(site):
    with serving(site) as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    """Chromium, started once for all tests."""
    playwright = pytest.importorskip("playwright.sync_api")
    named = os.environ.get("CHROMIUM")
    path = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        missing(f"no browser: none of {', '.join(BROWSERS)} is installed, and CHROMIUM is not set")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Log:
    """What a page asked for and complained of."""

    foreign: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    weights: dict[str, int] = field(default_factory=dict)


def is_own(url: str) -> bool:
    return url.startswith(("data:", "blob:", "file:", "about:")) or (
        urlsplit(url).hostname == "127.0.0.1"
    )


def watch(context, page) -> Log:
    """Refuse every other host, and note what happens on the page."""
    log = Log()

    def route(route):
        if is_own(route.request.url):
            route.continue_()
        else:
            log.foreign.append(route.request.url)
            route.abort()

    def answered(response):
        if response.url.startswith("http"):
            log.weights[response.url] = int(response.headers.get("content-length", 0))
            if response.status >= 400:
                log.failed.append(f"{response.status} {response.url}")

    def said(message):
        if message.type in ("error", "warning"):
            log.complaints.append(f"{message.type}: {message.text}")

    # before any script of the page, so that no report of its policy is missed
    context.expose_function("reportViolation", lambda text: log.violations.append(text))
    context.add_init_script(
        "document.addEventListener('securitypolicyviolation', event =>"
        " reportViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`))"
    )
    context.route("**/*", route)
    page.on("response", answered)
    page.on("requestfailed", lambda request: log.failed.append(request.url))
    page.on("console", said)
    page.on("pageerror", lambda error: log.complaints.append(str(error)))
    page.on("websocket", lambda socket: log.foreign.append(socket.url))
    return log


def wake_explorables(page) -> None:
    """Scroll each explorable into view and wait until it lives (or has given up)."""
    for figure in page.query_selector_all("figure[data-explorable]"):
        figure.scroll_into_view_if_needed()
        page.wait_for_function("figure => figure.dataset.state", arg=figure)


@pytest.fixture
def visit(browser):
    """Open an address; returns the page and its log. Every context is closed at the end."""
    contexts = []

    def visit(url, *, scheme="light", width=1280, javascript=True, awake=True):
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=javascript,
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        log = watch(context, page)
        page.goto(url, wait_until="load")
        if javascript:
            page.evaluate("document.fonts.ready")
            if awake:
                wake_explorables(page)
        return page, log

    yield visit
    for context in contexts:
        context.close()
