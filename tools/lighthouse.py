"""Audit the cover and a chapter with Lighthouse: three scores must be 100.

Accessibility, best practices and search engines are gated. Performance is printed: on a small or
busy machine it says more about the machine than about the page. Lighthouse comes from npm, at one
version, into ``.venv/lighthouse``.
"""

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build" / "html"
HOME = ROOT / ".venv" / "lighthouse"
VERSION = "12.8.2"  # 13 wants a newer node than Debian's
PAGES = ("index.html", "chapters/recurrence.html")
GATED = ("accessibility", "best-practices", "seo")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files of the site, without a line for each."""

    def log_message(self, *args):
        """Say nothing."""


def program() -> Path:
    """Lighthouse's command, installed if it is not there."""
    command = HOME / "node_modules" / ".bin" / "lighthouse"
    if not command.exists():
        if shutil.which("npm") is None:
            sys.exit("npm is not installed: lighthouse comes from there")
        HOME.mkdir(parents=True, exist_ok=True)
        options = ["--prefix", str(HOME), "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(["npm", "install", *options, f"lighthouse@{VERSION}"], check=True)
    return command


def audit(url: str) -> dict:
    """The report of one page."""
    browser = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"No browser: none of {', '.join(BROWSERS)} is installed; CHROMIUM is not set")
    flags = "--headless=new --no-sandbox --disable-gpu"
    options = ["--output=json", "--quiet", "--preset=desktop", f"--chrome-flags={flags}"]
    done = subprocess.run(
        [str(program()), url, *options],
        env=os.environ | {"CHROME_PATH": browser},
        capture_output=True,
        encoding="utf-8",
    )
    if done.returncode:
        sys.exit(f"lighthouse failed on {url}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def faults(report: dict) -> list[str]:
    """What keeps a gated score below 100."""
    found = []
    for name in GATED:
        category = report["categories"][name]
        if category["score"] == 1:
            continue
        for reference in category["auditRefs"]:
            check = report["audits"][reference["id"]]
            if reference["weight"] and check["score"] not in (1, None):
                found.append(f"{name}: {check['title']}")
    return found


def main() -> int:
    if not (SITE / "index.html").exists():
        sys.exit("There is no site yet: make book")
    handler = functools.partial(Quiet, directory=str(SITE))
    failed = False
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for page in PAGES:
            report = audit(f"http://127.0.0.1:{server.server_port}/{page}")
            scores = {name: c["score"] for name, c in report["categories"].items()}
            print(page, ", ".join(f"{name} {100 * score:.0f}" for name, score in scores.items()))
            for fault in faults(report):
                print("  ", fault)
            failed |= any(scores[name] < 1 for name in GATED)
        server.shutdown()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
