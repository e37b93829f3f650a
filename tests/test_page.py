"""What the page is before anybody touches it: in both themes, at both widths, on paper, and without scripts."""

import re

import pytest

from tests.browser import DESKTOP, PHONE, sideways, violations
from tests.synthetic import grid, lively, write_report

SIZES = [pytest.param(DESKTOP, id="desktop"), pytest.param(PHONE, id="phone")]
THEMES = ["light", "dark"]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Every kind of mishap, both modes, three seeds."""
    table = grid(3, 3, 3, backends=("numpy", "sklearn", "torch"), modes=("controlled", "native"))
    return write_report(tmp_path_factory.mktemp("page"), table, lively)


def luminance(page, selector, what):
    """0 for black, 1 for white; of a colour that is no other than grey's."""
    colour = page.eval_on_selector(selector, f"element => getComputedStyle(element).{what}")
    red, green, blue = (int(float(number)) for number in re.findall(r"[\d.]+", colour)[:3])
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


def test_what_a_page_does_behind_ones_back_is_noticed(open_page, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<img src='picture.png'>"
        "<script>console.warn('careful'); alert('hello'); setTimeout(() => { throw Error('oh') })</script>"
    )
    open_page(bad).wait_for_timeout(100)
    told = "\n".join(open_page.faults)
    open_page.faults.clear()
    assert re.search(r"asked for .*picture\.png", told)
    assert "console: careful" in told
    assert "dialog: hello" in told
    assert re.search("threw: .*oh", told)


def test_a_page_that_is_too_wide_is_noticed(open_page, tmp_path):
    wide = tmp_path / "wide.html"
    wide.write_text("<meta name=viewport content='width=device-width'><div style='width: 1500px; margin: 0'>wide</div>")
    assert sideways(open_page(wide)) > 0
    assert sideways(open_page(wide, PHONE)) > 0


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_is_never_wider_than_the_screen(open_page, report, size, scripts):
    assert sideways(open_page(report, size, scripts=scripts)) <= 0


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
def test_nothing_on_the_page_shuts_anybody_out(open_page, report, size, theme):
    assert violations(open_page(report, size, scheme=theme)) == []


def test_the_page_follows_the_theme_of_the_system(open_page, report):
    light, dark = (open_page(report, scheme=theme) for theme in THEMES)
    assert luminance(light, "body", "backgroundColor") > 0.9 > 0.3 > luminance(light, "body", "color")
    assert luminance(dark, "body", "backgroundColor") < 0.1 < 0.7 < luminance(dark, "body", "color")


def test_without_scripts_the_summary_the_figures_and_the_tables_stand(open_page, report):
    page = open_page(report, scripts=False)
    assert page.get_by_role("heading", level=1).inner_text() == "Made-up digits"
    assert "torch differs from the reference in 1 of" in page.get_by_role("region", name="Summary").inner_text()
    pictures = page.locator("figure svg[role=img]")
    assert pictures.count() >= 4
    for i in range(pictures.count()):
        assert pictures.nth(i).is_visible()
    named = [picture.get_attribute("aria-label") for picture in pictures.all()]
    assert any(name.startswith("Heatmaps of test accuracy in mode controlled") for name in named)
    assert page.locator("table:visible").count() >= 4


def test_without_scripts_no_dead_control_is_shown(open_page, report):
    page = open_page(report, scripts=False)
    assert page.locator("button:visible, select:visible, input:visible").count() == 0


@pytest.mark.parametrize("theme", THEMES)
def test_on_paper_the_page_is_black_on_white_and_has_no_controls(open_page, report, theme):
    page = open_page(report, scheme=theme)
    page.emulate_media(media="print", color_scheme=theme)
    assert luminance(page, "body", "backgroundColor") == pytest.approx(1)
    assert luminance(page, "body", "color") == 0
    assert page.locator("button:visible, select:visible, input:visible").count() == 0
    assert page.get_by_role("region", name="Summary").is_visible()
    assert page.locator("figure svg[role=img]").first.is_visible()


def test_the_page_prints(open_page, report):
    paper = open_page(report).pdf(prefer_css_page_size=True)
    assert paper.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) >= 2
