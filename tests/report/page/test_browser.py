"""Pages in a real browser, where there is one: light, dark, narrow and printed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boundmesh.certify.result import Certification
from boundmesh.result import Result
from tests.report.page.test_pages import RECORDS, bench_page_of, page_of

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="chromium is not installed: apt-get install chromium"
)

# Writes the width of the window and of its content into the title.
WIDTHS = "<script>document.title = `${innerWidth} ${document.documentElement.scrollWidth}`</script>"


def browse(page: Path, *options: str) -> str:
    assert BROWSER is not None
    words = [BROWSER, *OPTIONS, f"--user-data-dir={page.parent / 'profile'}", *options]
    outcome = subprocess.run(
        [*words, page.as_uri()], capture_output=True, text=True, timeout=60, check=True
    )
    return outcome.stdout


def screenshot(page: Path, *options: str) -> np.ndarray:
    picture = page.with_suffix(".png")
    browse(page, f"--screenshot={picture}", "--window-size=900,1200", *options)
    return np.asarray(Image.open(picture).convert("RGB"))


@pytest.fixture
def pages(results: dict[str, Result], certification: Certification, tmp_path: Path) -> list[Path]:
    found = []
    for name in ("image-sat", "table-split", "certification", "bench"):
        folder = tmp_path / name
        folder.mkdir()
        if name == "bench":
            text = bench_page_of(RECORDS, folder).text
        else:
            result = certification if name == "certification" else results[name]
            text = page_of(result, folder).text
        (folder / "page.html").write_text(text, encoding="utf-8")
        found.append(folder / "page.html")
    return found


def test_a_page_follows_the_light_or_dark_scheme(pages: list[Path]) -> None:
    light, dark = (
        screenshot(pages[0]),
        screenshot(pages[0], "--blink-settings=preferredColorScheme=0"),
    )
    assert light[-1, 0].min() > 240 and dark[-1, 0].max() < 40
    assert len(np.unique(light.reshape(-1, 3), axis=0)) > 50


def test_a_page_fits_a_narrow_window(pages: list[Path]) -> None:
    for page in pages:
        text = page.read_text(encoding="utf-8")
        # The page itself refuses scripts, so the measuring one comes with the refusal taken out.
        text = re.sub(r"<meta http-equiv=[^>]*>", "", text).replace("</body>", f"{WIDTHS}</body>")
        page.write_text(text, encoding="utf-8")
        dump = browse(page, "--dump-dom", "--window-size=400,900")
        (found,) = re.findall(r"<title>(\d+) (\d+)</title>", dump)
        window, content = map(int, found)
        assert content <= window <= 500


def test_a_page_can_be_printed(pages: list[Path]) -> None:
    for page in pages:
        paper = page.with_suffix(".pdf")
        browse(page, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
        data = paper.read_bytes()
        assert data.startswith(b"%PDF-") and len(data) > 10_000
