"""`python tests/browser/screenshots.py RUN_DIR FOLDER`: README's pictures of a run in TensorBoard, small PNG files."""

import io
import sys
import time
from pathlib import Path

from board_page import PRINTED, browser, margin_charts, pinned_cards, printed, tensorboard, untick_outliers, until
from PIL import Image

from gdstudy.sweep.reading import load_run
from gdstudy.views.terminal import report

MOST_BYTES = 120_000


def main(run_dir, folder):
    options, address = printed(report(load_run(run_dir), run_dir), run_dir)
    with tensorboard(run_dir, *options) as server, browser(1500, 1180) as driver:
        driver.get(address.replace(PRINTED, server))
        until(lambda: pinned_cards(driver), lambda cards: cards and all(card["runs"] for card in cards[:4]))
        untick_outliers(driver)
        save(driver, folder / "tensorboard_time_series.png")
        driver.get("about:blank")
        driver.get(f"{server}#custom_scalars&_smoothingWeight=0")
        until(lambda: margin_charts(driver), lambda charts: charts and all(chart["bands"] for chart in charts))
        untick_outliers(driver)
        save(driver, folder / "tensorboard_margin_charts.png")


def save(driver, path):
    """Once nothing moves any more, at three quarters of the size and in 256 colours."""
    time.sleep(2)
    picture = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    picture = picture.resize((picture.width * 3 // 4, picture.height * 3 // 4), Image.Resampling.LANCZOS)
    picture.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)
    if path.stat().st_size > MOST_BYTES:
        sys.exit(f"{path} has {path.stat().st_size:,} bytes, more than {MOST_BYTES:,}")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
