"""The report in a real browser: pictures are decoded, tables have rows, nothing is wider than the screen."""

import shutil
from collections.abc import Iterator

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs Chromium and its driver (Debian packages chromium, chromium-driver)"
)


@pytest.fixture(scope="module")
def browser(run, write, tmp_path_factory) -> Iterator:
    folder = tmp_path_factory.mktemp("browser")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.get(write(run, folder / "report.html").as_uri())
    yield driver
    driver.quit()


def resize(browser, width: int) -> None:
    """A viewport of this width exactly, below the narrowest window, too."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def test_every_picture_is_decoded_and_seen(browser, run):
    sizes = browser.execute_script(
        "document.querySelectorAll('details').forEach(d => d.open = true);"
        "return [...document.images].map(i => [i.complete, i.naturalWidth, i.naturalHeight, "
        "i.getBoundingClientRect().width])"
    )
    assert len(sizes) == (3 + 2) * len(run.classes)
    assert all(complete and min(size) > 0 for complete, *size in sizes)
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('figure svg')].map(s => s.getBoundingClientRect()).map(r => [r.width, "
        "r.height])"
    )
    assert len(boxes) > 10
    assert min(min(box) for box in boxes) > 100


def test_every_table_has_rows_and_headings(browser):
    rows = browser.execute_script(
        "return [...document.querySelectorAll('table')].map(t => [t.querySelectorAll('tbody td').length, "
        "t.tHead.rows.length])"
    )
    assert len(rows) >= 5
    assert all(cells and headings for cells, headings in rows)


@pytest.mark.parametrize("width", [1280, 390])
def test_page_is_not_wider_than_the_screen(browser, width):
    resize(browser, width)
    inner, page, body = browser.execute_script(
        "return [innerWidth, document.documentElement.scrollWidth, document.body.scrollWidth]"
    )
    assert inner == width
    assert max(page, body) <= width


@pytest.mark.parametrize("width", [1280, 390])
def test_a_click_enlarges_a_picture_to_the_screen_and_another_takes_it_back(browser, width):
    resize(browser, width)
    picture = browser.find_element("css selector", "#samples .zoom img")
    before = picture.size
    picture.click()
    place = "const r = arguments[0].getBoundingClientRect(); return [r.x, r.y, r.width]"
    assert browser.execute_script(place, picture) == [0, 0, width]
    picture.click()
    assert picture.size == before


def test_the_nearest_real_images_are_one_click_away(browser):
    resize(browser, 1280)
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = false)")
    summary = browser.find_element("css selector", "#samples details.near summary")
    picture = browser.find_element("css selector", "#samples details.near img")
    assert not picture.is_displayed()
    summary.click()
    assert picture.is_displayed()


@pytest.mark.parametrize("width", [1280, 390])
def test_text_of_the_curves_is_readable(browser, width):
    resize(browser, width)
    heights = browser.execute_script(
        "return [...document.querySelectorAll('#psnr svg')].map(s => 12 * s.getBoundingClientRect().width / "
        "s.viewBox.baseVal.width)"
    )
    assert min(heights) > 9, "font size in pixels on the screen"


def test_browser_has_no_complaints_and_no_script_ran(browser):
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.scripts.length") == 0
