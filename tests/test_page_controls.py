"""Every control of the page does what it says, by mouse, by keyboard and by address."""

import re

import pytest

from tests.browser import DESKTOP, PHONE, violations
from tests.reading import shows, stored
from tests.synthetic import grid, lively, write_report

BACKENDS = ("numpy", "sklearn", "torch")  # in the order of the page, so these places are their numbers on it


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """9 cells, 3 seeds, both modes and every kind of mishap."""
    table = grid(3, 3, 3, backends=BACKENDS, modes=("controlled", "native"))
    return write_report(tmp_path_factory.mktemp("controls"), table, lively)


@pytest.fixture(scope="module")
def rows(report):
    return stored(report.parent / "store.db")


def cell(page, backend, position):
    """The cell of a backend in the heatmap that is seen."""
    place = f"[role=gridcell][data-backend='{BACKENDS.index(backend)}'][data-cell='{position}']"
    return page.locator(f"#explore {place}:visible").first


def choose(page, **choices):
    for control, value in choices.items():
        page.select_option(f"#{control}", value)


def tile(page, backend, position):
    """What a cell says: its number, what stands below, its words."""
    made = cell(page, backend, position)
    return [" ".join(made.locator(f".{part}").all_inner_texts()) for part in ("value", "second", "note")]


def of(rows, backend, position, mode="controlled", status="ok"):
    mine = rows[(rows["backend"] == backend) & (rows["position"] == position) & (rows["mode"] == mode)]
    return mine[mine["status"] == status]


def cards(page):
    return page.locator("#cards article")


# -- choices


@pytest.mark.parametrize(
    ("metric", "column"), [("accuracy", "accuracy"), ("loss", "loss"), ("auc", "auc"), ("f1", "f1")]
)
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_metric_and_a_split_can_be_chosen(open_page, report, rows, metric, column, split):
    page = open_page(report)
    choose(page, metric=metric, split=split, seed="1")
    for position in (1, 3, 4):
        (value,) = of(rows[rows["seed"] == 1], "torch", position)[f"{split}_{column}"] if position != 1 else (None,)
        shown = tile(page, "torch", position)
        assert shown[0] == "" if position == 1 else shows(shown[0], value)
    assert tile(page, "torch", 1)[2] == "diverged"


def test_a_time_can_be_chosen_and_has_no_split(open_page, report, rows):
    page = open_page(report)
    choose(page, metric="train_seconds", seed="0")
    assert page.locator("#split").count() == 0
    assert shows(tile(page, "numpy", 4)[0], of(rows[rows["seed"] == 0], "numpy", 4)["train_seconds"].item())


def test_the_epochs_to_95_percent_can_be_chosen(open_page, report):
    page = open_page(report)
    choose(page, metric="epochs_to_95", split="train", seed="0")
    assert tile(page, "numpy", 1)[2] == "not reached"


def test_a_mode_can_be_chosen(open_page, report, rows):
    page = open_page(report)
    choose(page, mode="native", seed="2")
    assert shows(
        tile(page, "sklearn", 4)[0], of(rows[rows["seed"] == 2], "sklearn", 4, "native")["test_accuracy"].item()
    )
    assert "mode native" in page.locator("#view").text_content()
    assert tile(page, "numpy", 4)[2] == "timeout"
    assert tile(page, "torch", 5)[2] == "pending"


def test_a_seed_or_their_mean_can_be_chosen(open_page, report, rows):
    page = open_page(report, PHONE)
    values = of(rows, "numpy", 4)["test_accuracy"]
    value, spread, _ = tile(page, "numpy", 4)
    assert shows(value, values.mean())
    assert shows(spread.removeprefix("±"), values.std(ddof=1))
    for seed in range(3):
        choose(page, seed=str(seed))
        value, spread, _ = tile(page, "numpy", 4)
        assert shows(value, values[rows["seed"] == seed].item())
        assert spread == ""


def test_a_pair_can_be_subtracted(open_page, report, rows):
    page = open_page(report)
    choose(page, mode="native", seed="0", minus="0")
    mine, theirs = (
        of(rows[rows["seed"] == 0], name, 3, "native")["test_accuracy"].item() for name in ("torch", "numpy")
    )
    assert shows(tile(page, "torch", 3)[0], mine - theirs)
    assert cell(page, "numpy", 3).count() == 0
    choose(page, backend="1")
    assert cell(page, "torch", 3).count() == 0
    assert cell(page, "sklearn", 3).is_visible()


def test_start_again_goes_back_to_the_first_view(open_page, report):
    page = open_page(report)
    assert page.locator("#reset").is_disabled()
    before = page.locator("#view").text_content()
    choose(page, metric="loss", mode="native")
    assert page.locator("#view").text_content() != before
    page.click("#reset")
    assert page.locator("#view").text_content() == before
    assert "#" not in page.url.rstrip("#")


def test_what_the_study_does_not_have_is_not_offered(open_page, report):
    page = open_page(report)
    offered = page.eval_on_selector_all("#metric option", "options => options.map(option => option.value)")
    assert {"accuracy", "loss", "auc", "f1", "train_seconds", "epochs_to_95"} <= set(offered)
    assert not {"r2", "mse", "mae"} & set(offered)


# -- axes


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    """Three axes, one seed, one mode."""
    table = grid(2, 2, 1, backends=("numpy", "sklearn"))
    table["sweep"]["hidden"] = [[5], [10], [20, 10]]
    del table["network"]["hidden"]
    return write_report(tmp_path_factory.mktemp("cube"), table)


def headers(page, scope):
    return page.locator("#stage [role=grid]").first.locator(f"th[scope={scope}]").all_inner_texts()


def test_any_axis_goes_down_or_across_and_the_others_are_lines_or_one_value(open_page, cube):
    page = open_page(cube, PHONE)
    assert (headers(page, "row"), headers(page, "col")) == (["1e-5", "10"], ["1e-5", "10"])
    assert page.locator("#stage [role=grid]").count() == 2 * 3
    choose(page, **{"at-2": "1"})
    assert page.locator("#stage [role=grid]").count() == 2
    choose(page, down="2")
    assert headers(page, "row") == ["[5]", "[10]", "[20, 10]"]
    numbers = page.locator("#stage [role=grid]").first.locator("[role=gridcell]")
    found = [int(each.get_attribute("data-cell")) for each in numbers.all()]
    across = page.locator("#across").input_value()
    assert across != "2"
    rest = ({"0", "1", "2"} - {"2", across}).pop()
    assert page.locator(f"#at-{rest}").count() == 1
    shape = (2, 2, 3)
    places = [((number // 6) % 2, (number // 3) % 2, number % 3) for number in found]
    assert [place[2] for place in places] == [0, 0, 1, 1, 2, 2]
    assert [place[int(across)] for place in places] == [0, 1, 0, 1, 0, 1]
    assert max(found) < shape[0] * shape[1] * shape[2]


def test_a_control_with_nothing_to_choose_cannot_be_operated(open_page, cube):
    page = open_page(cube)
    assert page.locator("#seed").count() == 0  # there is one
    for control in page.locator("#controls select:enabled").all():
        assert control.locator("option").count() > 1


# -- cells


def test_pointing_at_a_cell_shows_its_numbers_and_failures(open_page, report, rows):
    page = open_page(report)
    cell(page, "sklearn", 3).hover()
    (card,) = cards(page).all()
    assert card.get_attribute("data-cell") == "3"
    assert "ValueError: planted" in card.inner_text()
    assert card.locator("tr[data-backend='1'] td").first.inner_text() == "1/3 crashed"
    loss = card.locator("tr[data-metric=loss] td").nth(2).inner_text()
    assert shows(loss.split(" ± ")[0], of(rows, "sklearn", 3)["test_loss"].mean(), 4)
    cell(page, "numpy", 4).hover()
    assert cards(page).count() == 1
    assert cards(page).first.get_attribute("data-cell") == "4"


def test_a_card_has_the_learning_curves_of_its_cell(open_page, report):
    page = open_page(report)
    cell(page, "numpy", 4).hover()
    assert cards(page).locator("figure.curve svg path").count() == 3 * 3  # backends and seeds
    choose(page, seed="1")
    cell(page, "numpy", 4).hover()
    assert cards(page).locator("figure.curve svg path").count() == 3


def test_a_card_has_the_keyword_arguments_of_every_backend(open_page, report):
    page = open_page(report)
    cell(page, "torch", 4).hover()
    for backend, words in (("sklearn", "Classifier("), ("torch", "lr=0.01")):
        details = cards(page).locator(f"details[data-backend='{BACKENDS.index(backend)}']")
        details.locator("summary").click()
        assert words in details.locator("pre").inner_text()


def test_two_cells_can_be_pinned_side_by_side(open_page, report):
    page = open_page(report)
    cell(page, "numpy", 4).click()
    cell(page, "torch", 2).click()
    page.mouse.move(5, 5)
    page.locator("h1").click()
    left, right = (card.bounding_box() for card in cards(page).all())
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]
    assert "pins=0.4+2.2" in page.url
    assert [each.get_attribute("aria-selected") for each in (cell(page, "numpy", 4), cell(page, "torch", 2))] == [
        "true"
    ] * 2
    cell(page, "sklearn", 0).click()
    assert cards(page).count() == 2
    cards(page).first.get_by_role("button", name="Unpin").click()
    assert "pins=1.0" in page.url


def test_a_cell_without_a_result_has_a_pattern_and_a_word(open_page, report):
    page = open_page(report, PHONE)
    for position, word in ((6, "diverged"), (0, "")):
        made = cell(page, "numpy", position)
        assert made.locator(".note").all_inner_texts() == ([word] if word else [])
        patterns = (
            """(cell) => ["", "::before", "::after"].map((part) => getComputedStyle(cell, part).backgroundImage)"""
        )
        assert "gradient" in " ".join(made.evaluate(patterns))
    assert tile(page, "numpy", 1)[2] == "1/3 diverged"


# -- keyboard and screen reader


def tab_to(page, selector, limit=80):
    for _ in range(limit):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"no {selector} within {limit} tabs")


def active(page, attribute):
    return page.evaluate("name => document.activeElement.getAttribute(name)", attribute)


@pytest.mark.parametrize("size", [pytest.param(DESKTOP, id="desktop"), pytest.param(PHONE, id="phone")])
def test_cells_are_reached_read_and_pinned_by_keyboard_alone(open_page, report, size):
    page = open_page(report, size)
    tab_to(page, "[role=gridcell]")
    assert (active(page, "data-backend"), active(page, "data-cell")) == ("0", "0")
    for key, there in (("ArrowRight", "1"), ("ArrowDown", "4"), ("ArrowLeft", "3"), ("ArrowUp", "0"), ("End", "2")):
        page.keyboard.press(key)
        assert active(page, "data-cell") == there
        assert cards(page).first.get_attribute("data-cell") == there
    page.keyboard.press("ArrowRight")
    assert (active(page, "data-backend"), active(page, "data-cell")) == ("1", "0")  # on to the next panel
    page.keyboard.press("Control+End")
    assert active(page, "data-cell") == "8"
    page.keyboard.press("Enter")
    assert "Pinned: sklearn" in page.locator("#said").text_content()
    assert (active(page, "data-cell"), active(page, "aria-selected")) == ("8", "true")
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    assert [card.get_attribute("data-pinned") for card in cards(page).all()] == ["true", "true"]
    page.keyboard.press("Escape")
    assert [card.get_attribute("data-cell") for card in cards(page).all()] == ["8"]
    page.keyboard.press("Escape")
    assert cards(page).count() == 0


def test_each_panel_is_one_stop_of_the_tab_key(open_page, report):
    page = open_page(report)
    assert page.locator("#explore [role=gridcell][tabindex='0']:visible").count() == 3


def test_whatever_has_the_focus_shows_it(open_page, report):
    page = open_page(report)
    seen, unseen = set(), []
    for _ in range(150):
        page.keyboard.press("Tab")
        style = page.evaluate(
            """() => {
                const element = document.activeElement, style = getComputedStyle(element);
                if (element === document.body) return null;
                const outline = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
                return [element.outerHTML.slice(0, 120), outline || style.boxShadow !== "none"];
            }"""
        )
        if style is None:
            break
        seen.add(style[0])
        unseen += [] if style[1] else [style[0]]
    assert len(seen) > 20
    assert unseen == []


def test_a_screen_reader_is_told_what_a_cell_holds(open_page, report):
    page = open_page(report)
    panel = page.get_by_role("grid", name="torch")
    label = panel.get_by_role("gridcell").nth(2).get_attribute("aria-label")
    assert re.fullmatch(
        r"torch, learning_rate 1e-5, l2 10, 0\.\d{3} ±0\.\d{3}, .*differs from the reference.*", label
    ), label
    label = panel.get_by_role("gridcell").nth(1).get_attribute("aria-label")
    assert "2 of 3 seeds" in label
    assert "1/3 diverged" in label


def test_a_choice_is_announced(open_page, report):
    page = open_page(report)
    assert page.locator("#said").get_attribute("role") == "status"
    choose(page, metric="loss")
    assert page.locator("#said").text_content() == page.locator("#view").text_content()
    assert page.locator("#said").text_content().startswith("Test loss")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [pytest.param(DESKTOP, id="desktop"), pytest.param(PHONE, id="phone")])
def test_nothing_shuts_anybody_out_while_the_page_is_used(open_page, report, size, theme):
    page = open_page(report, size, scheme=theme, address="#pins=0.4+2.2&minus=0&find=torch&sort=test_accuracy+down")
    cell(page, "torch", 3).hover()
    assert cards(page).count() == 3
    page.locator("#cards details").first.evaluate("details => { details.open = true }")
    assert violations(page) == []


# -- trials


def shown_trials(page, number):
    return [row.locator("th, td").nth(number).inner_text() for row in page.locator("#trials-body tr").all()]


def place_of(page, column):
    buttons = page.locator("#trials-head button").all()
    return [button.get_attribute("data-sort") for button in buttons].index(column)


def test_trials_are_sorted_by_any_column(open_page, report, rows):
    page = open_page(report)
    where = place_of(page, "test_loss")
    button = page.locator("#trials-head button[data-sort=test_loss]")
    heading = button.locator("xpath=ancestor::th")
    assert heading.get_attribute("aria-sort") == "none"
    button.click()
    lowest = rows["test_loss"].nsmallest(50).tolist()
    assert all(shows(text, value, 4) for text, value in zip(shown_trials(page, where), lowest, strict=True))
    assert heading.get_attribute("aria-sort") == "ascending"
    button.press("Enter")
    highest = rows["test_loss"].nlargest(50).tolist()
    assert all(shows(text, value, 4) for text, value in zip(shown_trials(page, where), highest, strict=True))
    assert heading.get_attribute("aria-sort") == "descending"
    assert page.evaluate("document.activeElement.dataset.sort") == "test_loss"
    button.click()
    assert heading.get_attribute("aria-sort") == "none"


def test_trials_are_filtered_by_words_backend_and_status(open_page, report, rows):
    page = open_page(report)
    count = page.locator("#trials-count")
    assert count.inner_text().startswith(f"{len(rows)} trials")
    page.fill("#trials-find", "planted")
    assert count.inner_text() == f"2 of {len(rows)} trials"
    assert set(shown_trials(page, 0)) == {"sklearn"}
    page.fill("#trials-find", "")
    page.select_option("#trials-status", label="diverged")
    wanted = rows[rows["status"] == "diverged"]
    assert count.inner_text().startswith(f"{len(wanted)} of {len(rows)} trials")
    page.select_option("#trials-of", label="torch")
    wanted = wanted[wanted["backend"] == "torch"]
    assert count.inner_text() == f"{len(wanted)} of {len(rows)} trials"
    assert [text[:12] for text in shown_trials(page, place_of(page, "id"))] == [
        each[:12] for each in wanted["trial_id"]
    ]


def test_all_trials_can_be_paged_through(open_page, report, rows):
    page = open_page(report)
    found = []
    while True:
        found += [row.get_attribute("data-trial") for row in page.locator("#trials-body tr").all()]
        if page.locator("#trials-after").is_disabled():
            break
        page.click("#trials-after")
    assert sorted(found) == sorted(each[:12] for each in rows["trial_id"])
    page.click("#trials-before")
    assert "page=" in page.url


# -- the address


CHOICES = "#metric=loss&split=train&mode=native&seed=1&minus=0&pins=1.4+2.2&sort=train_loss+down&find=torch&status=ok"


def state_of(page):
    """All that a reader sees of the choices."""
    controls = page.eval_on_selector_all(
        "#explore select, #trials select, #trials input", "all => all.map(e => e.value)"
    )
    panels = [each.inner_text() for each in page.locator("#stage [role=grid]:visible").all()]
    pins = page.eval_on_selector_all("#cards article", "all => all.map(e => e.ariaLabel)")
    return controls, page.locator("#view").text_content(), panels, pins, shown_trials(page, 0)


def test_the_address_remembers_every_choice(open_page, report):
    page = open_page(report)
    choose(page, metric="loss", split="train", mode="native", seed="1", minus="0")
    cell(page, "sklearn", 4).click()
    cell(page, "torch", 2).click()
    page.fill("#trials-find", "torch")
    page.select_option("#trials-status", label="ok")
    page.click("#trials-head button[data-sort=train_loss]")
    page.click("#trials-head button[data-sort=train_loss]")
    page.mouse.move(0, 0)
    page.locator("h1").click()
    page.keyboard.press("Home")
    before = state_of(page)
    assert sorted(page.url.partition("#")[2].split("&")) == sorted(CHOICES[1:].split("&"))
    page.reload()
    assert state_of(page) == before
    assert state_of(open_page(report, address=CHOICES)) == before


def test_the_back_button_takes_a_choice_back(open_page, report):
    page = open_page(report)
    first = state_of(page)
    choose(page, metric="loss")
    second = state_of(page)
    choose(page, split="train")
    page.fill("#trials-find", "torch")  # typing is no step of its own
    page.go_back()
    assert state_of(page) == second
    page.go_back()
    assert state_of(page) == first
    page.go_forward()
    assert state_of(page) == second


@pytest.mark.parametrize(
    "address",
    [
        "#metric=nonsense&split=all&mode=7&seed=99&backend=-1&minus=x&down=9&across=9&pins=9.9+a+1.99999&sort=no+way&page=-3",
        "#__proto__=1&constructor=2&at=9:9,:,&page=1e9&seed=1.5&backend=01",
        "#%E0%A4%A&&&==&metric",
        "#pins=<script>alert(1)</script>&find=<img src=x>&of=<b>&status=javascript:1",
    ],
)
def test_an_address_from_elsewhere_does_no_harm(open_page, report, address):
    page = open_page(report, address=address)
    assert page.locator("#view").text_content().startswith("Test accuracy, mode controlled")
    assert cards(page).count() == 0


def test_pins_of_cells_that_are_not_there_are_dropped(open_page, report):
    page = open_page(report, address="#pins=9.9999+zz+0.4+0.4+1.2")
    assert cards(page).count() == 2
    choose(page, metric="loss")
    assert "pins=0.4+1.2" in page.url
    page = open_page(report, address="#pins=9.9999+zz")
    assert page.locator("#reset").is_disabled()
    choose(page, metric="loss")
    assert "pins" not in page.url


# -- themes


@pytest.mark.parametrize("system", ["light", "dark"])
def test_a_theme_can_be_chosen_and_is_remembered(open_page, report, system):
    page = open_page(report, scheme=system)
    background = "getComputedStyle(document.body).backgroundColor"
    of_system = page.evaluate(background)
    other = "dark" if system == "light" else "light"
    page.select_option("#theme", other)
    chosen = page.evaluate(background)
    assert chosen != of_system
    page.reload()
    assert page.evaluate(background) == chosen
    page.select_option("#theme", "auto")
    assert page.evaluate(background) == of_system


def test_nothing_moves_where_people_want_less_motion(open_page, report):
    page = open_page(report)
    choose(page, metric="loss")
    cell(page, "numpy", 4).hover()
    assert page.evaluate("document.getAnimations().length") == 0
