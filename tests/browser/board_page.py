"""TensorBoard on loopback over a run, and a headless browser in front of it, for tests and for README's pictures."""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PRINTED = "http://localhost:6006/"  # where TensorBoard is by default
PATIENCE = 60  # seconds, on a busy machine


def printed(said, folder):
    """(options of the command, address) that a run prints for TensorBoard."""
    (command,) = (line for line in said.splitlines() if "tensorboard --logdir" in line)
    (address,) = (word for word in said.split() if word.startswith(PRINTED))
    return command.partition(str(folder))[2].split(), address


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
    with tempfile.NamedTemporaryFile() as out:
        server = subprocess.Popen([*command, *options], stdout=out, stderr=subprocess.STDOUT)

        def said():
            return Path(out.name).read_text()

        try:
            found = until(lambda: server.poll() is not None or re.search(r"http://127\.0\.0\.1:\d+/", said()))
            if not isinstance(found, re.Match):
                pytest.fail(f"TensorBoard did not start: {said()[-2000:]}")
            yield found[0]
        finally:
            server.terminate()
            server.wait(PATIENCE)


# Elements of a page and of the shadow roots in it.
_DEEP = """
const deep = (root, which) => [...root.querySelectorAll(which)].concat(
  ...[...root.querySelectorAll('*')].filter(e => e.shadowRoot).map(e => deep(e.shadowRoot, which)));
"""


def pinned_cards(driver):
    """Of each card that is pinned in Time Series its tag, the runs in its legend, its height in pixels, and the pixel
    from its upper edge at which a value stands."""
    cards = driver.execute_script("""
        return [...document.querySelectorAll('metrics-pinned-view scalar-card')].map(card => ({
          tag: card.querySelector('tb-truncated-path')?.title ?? '',
          runs: [...card.querySelectorAll('tb-data-table-content-row')].map(
            row => row.querySelectorAll('tb-data-table-content-cell')[1]?.textContent.trim()),
          height: card.querySelector('.series-view')?.clientHeight,
          ticks: [...card.querySelectorAll('line-chart-axis[axis=y] .minor text')].map(
            tick => [+tick.getAttribute('y'), tick.textContent.trim()])}))""")
    return [{**card, "pixel_of": _scale(card["ticks"])} for card in cards]


def _scale(ticks):
    """From a value to its pixel, along a linear axis; infinitely far while it has no two ticks."""
    known = [(float(text.replace("−", "-")), pixel) for pixel, text in ticks]
    if len(known) < 2:
        return lambda value: float("nan")
    (low, at_low), (high, at_high) = known[0], known[-1]
    return lambda value: at_low + (value - low) * (at_high - at_low) / (high - low)


def untick_outliers(driver):
    """As a person does it, in the settings of Time Series or of Custom Scalars."""
    driver.execute_script(
        _DEEP
        + """
        deep(document, 'mat-checkbox, paper-checkbox').filter(box => box.textContent.includes('outliers')).forEach(
          box => (box.querySelector('input') ?? box).click())"""
    )


def margin_charts(driver):
    """Of each in Custom Scalars its title, the number of bands drawn in it, and all of its text."""
    return driver.execute_script(
        _DEEP
        + """
        return deep(document, 'tf-custom-scalar-margin-chart-card').map(card => ({
          title: deep(card.shadowRoot, 'tf-card-heading').map(heading => heading.displayName).join(),
          bands: deep(card.shadowRoot, 'path.area').filter(path => path.getAttribute('d')).length,
          text: [...card.shadowRoot.children].filter(e => e.tagName != 'STYLE').map(e => e.innerText).join(' ')}))"""
    )


def images(driver):
    """Of each on the page of images its tag, its width in pixels (0 while it is loaded), its slider's last place."""
    return driver.execute_script(
        _DEEP
        + """
        return deep(document, 'tf-image-loader').map(card => ({
          tag: card.tag,
          width: deep(card.shadowRoot, 'img').map(image => image.naturalWidth)[0] ?? 0,
          slider: deep(card.shadowRoot, 'paper-slider').map(slider => slider.max)[0] ?? null}))"""
    )


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
