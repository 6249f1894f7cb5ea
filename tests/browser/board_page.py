"""TensorBoard on loopback over a run, and a headless browser in front of it, for tests and for README's pictures."""

import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PATIENCE = 60  # seconds, on a busy machine


def why_not():
    """Why there is no browser here, or nothing."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed: pip install -e '.[test]'"
    return "" if CHROMIUM and DRIVER else "no chromium and chromedriver: apt-get install chromium chromium-driver"


def until(what, wanted=bool, patience=PATIENCE):
    """The first answer of what() that is as wanted; the last one where none is, for an assertion to show."""
    ends = time.monotonic() + patience
    while not wanted(answer := what()) and time.monotonic() < ends:
        time.sleep(0.2)
    return answer


@contextmanager
def tensorboard(logdir, *options):
    """Its address on loopback, at a port that the system chose."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), "--host", "127.0.0.1", "--port", "0"]
    log = Path(logdir).with_suffix(".tensorboard.log")
    with open(log, "wb") as out:
        server = subprocess.Popen([*command, *options], stdout=out, stderr=subprocess.STDOUT)
    try:
        found = until(lambda: server.poll() is not None or re.search(r"http://127\.0\.0\.1:\d+/", log.read_text()))
        if not isinstance(found, re.Match):
            pytest.fail(f"TensorBoard did not start: {log.read_text()[-2000:]}")
        yield found[0]
    finally:
        server.terminate()
        server.wait(PATIENCE)


@contextmanager
def browser(width=1500, height=1300):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.add_argument(f"--window-size={width},{height}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(PATIENCE)
    try:
        yield driver
    finally:
        driver.quit()
