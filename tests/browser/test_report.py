"""report.html in a real browser, from the disk: charts follow sliders, the table sorts, nothing is asked for."""

from contextlib import contextmanager

import pytest
from board_page import CHROMIUM, DRIVER, PATIENCE, why_not

from gdstudy.report import write_comparison

pytestmark = [pytest.mark.browser, pytest.mark.skipif(bool(why_not()), reason=why_not())]
CHANGE = "const e = document.getElementById(arguments[0]); e.value = arguments[1]; e.dispatchEvent(new Event('%s'));"
TEXTS = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
DRAWN = "return document.getElementById(arguments[0]).data.find((t) => t.name === arguments[1])?.y"


def show(driver, page):
    from selenium.webdriver.support.ui import WebDriverWait

    driver.get(page.as_uri())
    WebDriverWait(driver, PATIENCE).until(lambda d: d.execute_script("return document.body.dataset.ready"))


@contextmanager
def opened(page, width=1300, phone=False):
    """A browser that shows a page, and has drawn its charts."""
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": phone}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        show(driver, page)
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def page(run_dir):
    with opened(run_dir / "report.html") as driver:
        yield driver


def test_it_opens_without_complaint_and_asks_nobody_for_anything(page):
    assert page.get_log("browser") == []
    asked = [
        entry["message"] for entry in page.get_log("performance") if "Network.requestWillBeSent" in entry["message"]
    ]
    assert any('"url":"file:' in message for message in asked)
    assert not [message for message in asked if '"url":"http' in message]
    assert page.execute_script("return document.querySelectorAll('.js-plotly-plot').length") == 3
    assert not page.find_element("id", "still").is_displayed()  # the picture that stands there without a script
    # Negative control: its policy refuses what it does not know, and that is heard.
    page.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.mine = 1'; document.head.append(s);"
    )
    assert page.execute_script("return window.mine") is None
    assert "Content Security Policy" in page.get_log("browser")[0]["message"]


def test_the_sliders_move_curves_and_what_is_said_of_them(page):
    page.execute_script(CHANGE % "input", "time", 0)
    early, said = page.execute_script(DRAWN, "by-size", "test, GD at t"), page.find_element("id", "reading").text
    along = page.find_element("id", "along").text
    learnt = page.execute_script(DRAWN, "filter", "weakest mode, σ_R")
    slider = page.find_element("id", "time")
    slider.send_keys("\ue010")  # End, by keyboard
    assert page.execute_script(DRAWN, "by-size", "test, GD at t") != early
    assert page.execute_script(DRAWN, "filter", "weakest mode, σ_R") > learnt
    assert "after 1 step " in said
    assert "after 2,000 steps " in page.find_element("id", "reading").text
    # Train errors at N < P fall out of the chart by then, which is said; after one step they are in it.
    assert "Train errors that leave the chart are below" in page.find_element("id", "along").text
    assert "leave the chart" not in along
    through = page.execute_script(DRAWN, "by-time", "test, GD")
    page.execute_script(CHANGE % "input", "size", 0)
    assert page.execute_script(DRAWN, "by-time", "test, GD") != through
    assert "N = 3 < P" in page.find_element("id", "reading").text


def test_shares_learnt_are_those_of_gradient_descent_at_any_step_size(page):
    """Stable ones up to ησ² = 2, and of those that are not as well."""
    for x in (1e-9, 0.3, 1.0, 1.49, 2.5):
        for t in (1, 2, 7):
            found = page.execute_script("return learnt(arguments[0], 2, arguments[1])", x / 4, t)
            assert found == pytest.approx(1 - (1 - x) ** t if x > 1e-6 else t * x, rel=1e-6)


def test_the_table_sorts_and_filters(page):
    def column(name):
        heads = page.execute_script(TEXTS, "#results th")
        return [float(text) for text in page.execute_script(TEXTS, f"#results td:nth-child({heads.index(name) + 1})")]

    head = next(e for e in page.find_elements("css selector", "#results th button") if e.text == "test MSE")
    before = column("test MSE")
    page.execute_script("arguments[0].focus()", head)
    head.send_keys("\ue007")  # Enter
    rising = column("test MSE")
    head.send_keys("\ue007")
    falling = column("test MSE")
    assert rising == sorted(rising) != before
    assert falling == sorted(falling, reverse=True)
    assert page.execute_script(TEXTS, "#results th[aria-sort=descending]") == ["test MSE"]
    page.find_element("id", "words").send_keys("min_norm n=20")
    assert column("N") == [20, 20]
    page.find_element("id", "words").send_keys("0000")
    assert page.execute_script(TEXTS, "#results td") == []


def test_pages_fit_on_a_phone(run_dir, tmp_path):
    page = write_comparison(run_dir, run_dir, tmp_path / "both.html")
    with opened(page, width=390, phone=True) as driver:
        assert driver.get_log("browser") == []
        assert driver.execute_script("return document.documentElement.scrollWidth") == 390
        assert driver.execute_script(DRAWN, "both", "B: GD") == driver.execute_script(DRAWN, "both", "A: GD")
        show(driver, run_dir / "report.html")
        assert driver.get_log("browser") == []
        assert driver.execute_script("return document.documentElement.scrollWidth") == 390
