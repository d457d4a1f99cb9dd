"""A JupyterLab of a test's own, which serves one folder to this machine alone."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

DEADLINE_SECONDS = 90


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def jupyter_lab(folder):
    """The address of a JupyterLab that serves the folder to this machine alone."""
    port = free_port()
    home = {name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    home |= {name: str(folder / name.lower()) for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1"]
    command += ["--IdentityProvider.token=", "--ServerApp.password=", f"--notebook-dir={folder}"]
    command += ["--LabApp.news_url=None", "--LabApp.check_for_updates_class="
                "jupyterlab.handlers.announcements.NeverCheckForUpdate"]  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    log = (folder / "lab.log").open("w")
    server = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | home)
    try:
        end = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{address}/api/status", timeout=5).close()
                break
            except OSError as error:
                if server.poll() is not None or time.monotonic() > end:
                    said = (folder / "lab.log").read_text(encoding="utf-8")
                    raise RuntimeError(f"JupyterLab did not start:\n{said[-2000:]}") from error
                time.sleep(0.3)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=20)
        log.close()


def run_first_cell(page):
    """Runs the first cell of the notebook that the page has opened, which must not fail."""
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    accept = page.locator(".jp-Dialog .jp-mod-accept").first
    # a slow machine may ask which kernel is meant
    page.add_locator_handler(accept, lambda: accept.click())
    prompt = page.locator(".jp-CodeCell .jp-InputPrompt").first
    while prompt.inner_text() in ("", "[ ]:"):  # a key that comes too early is lost
        page.locator(".jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Shift+Enter")
        page.wait_for_timeout(1000)
    page.locator(".jp-InputPrompt", has_text="[1]:").wait_for(state="attached")
    assert page.locator(".jp-OutputArea-output[data-mime-type*=error]").all_inner_texts() == []
