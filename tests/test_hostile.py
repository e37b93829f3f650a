"""A store can be anybody's: what would be code, markup, layout or formulas elsewhere is text on the page."""

import csv
import json
import re
import sqlite3

import pytest

from harness.storage.results import Results
from harness.storage.store import Store
from reports import markdown
from tests.browser import DESKTOP, PHONE, sideways, violations
from tests.synthetic import grid, lively, write_store

HIJACK = "window.hijacked = true"
LONG = "W" * 10_000
MARKUP = f"<script>{HIJACK}; alert(1)</script>"

# What is hostile, by the place in the store where it stands.
TITLE = f"</title></style></script><script>{HIJACK}</script> \u202egnp.exe\u2066 {LONG}"
NAME = "\"><img src=x onerror='" + HIJACK + "'>"
NOTES = [
    MARKUP,
    f"<!-- ]]> <svg onload={HIJACK}>",
    "{{ 7 * 7 }} {% raw %} ${7*7} `${7*7}` $\\frac{1}{0}$ \\input{x}",
    f"javascript:{HIJACK}",
    "\x01\x07\x08\x0b\x1b[31mred\x7f\x85",
    "\u2028\u2029\ufeff\u200b",
    LONG,
]
LABELS = [  # of the axis
    MARKUP,
    f"</script><script>{HIJACK}</script>",
    f"' onmouseover='{HIJACK}' x=\"\" \u202eleft to right\u2069\u202c",
    "=cmd|' /C calc'!A0",
    LONG,
    "https://example.org/ \N{ZERO WIDTH SPACE} & &lt; &amp;",
]
BACKENDS = {
    "numpy": f"np</text><script>{HIJACK}</script>",
    "sklearn": "\u202esklearn " + LONG,
    "torch": "@SUM(1+1)*cmd|' /C calc'!A0",
}
REASON = f"{MARKUP} </pre></td> \u202e reason {LONG}"
FACTS = {f"fact {MARKUP}": f"<a href='javascript:{HIJACK}'>fact</a> {LONG}", "\u202ekey": "-1+1\u2028{{ 7 * 7 }}"}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The page of a store whose every text is hostile, and the same store's before that."""
    folder = tmp_path_factory.mktemp("hostile")
    url = f"sqlite:///{folder / 'store.db'}"
    table = grid(seeds=2, backends=tuple(BACKENDS), modes=("controlled", "native"))
    table["sweep"] = {
        "case": [
            {"label": f"case {i}", "learning_rate": rate} for i, rate in enumerate([1e-3, 1e-2, 0.1, 0.3, 0.5, 10])
        ]
    }
    name = write_store(url, table, lively)
    before = report(url, name, folder / "before")
    with sqlite3.connect(folder / "store.db") as connection:
        turn_hostile(connection)
    connection.close()
    return report(url, NAME, folder / "hostile"), before


def report(url, name, out):
    store = Store(url, must_exist=True)
    try:
        return Results(store, name).report(out)
    finally:
        store.close()


def turn_hostile(connection):
    """Rewrite names, titles, labels, reasons, data sets and facts in place; the shape of the study stays."""
    facts = json.loads(connection.execute("SELECT facts FROM experiments").fetchone()[0])
    facts |= {"notes": NOTES, "warnings": [MARKUP, LONG], "shown": {**facts["shown"], **FACTS}}
    connection.execute(
        "UPDATE experiments SET name = ?, title = ?, axes = ?, facts = ?",
        (NAME, TITLE, json.dumps({"case": LABELS}), json.dumps(facts)),
    )
    connection.execute("UPDATE planned SET experiment = ?", (NAME,))
    for position, label in enumerate(LABELS):
        connection.execute("UPDATE planned SET cell = ? WHERE position = ?", (json.dumps({"case": label}), position))
    for backend, harmful in BACKENDS.items():
        connection.execute("UPDATE planned SET backend = ? WHERE backend = ?", (harmful, backend))
    for trial_id, settings in connection.execute("SELECT trial_id, settings FROM planned").fetchall():
        settings = json.dumps(json.loads(settings) | {"dataset": MARKUP, "scale": LONG, "init": "{{ 7 * 7 }}"})
        connection.execute("UPDATE planned SET settings = ? WHERE trial_id = ?", (settings, trial_id))
    connection.execute("UPDATE trials SET reason = ? WHERE reason IS NOT NULL", (REASON,))
    connection.execute(
        "UPDATE trials SET backend_version = ?, machine = ?", (MARKUP, json.dumps({f"cpu {MARKUP}": LONG}))
    )


SIZES = [pytest.param(DESKTOP, id="desktop"), pytest.param(PHONE, id="phone")]


def elements(page):
    """How many elements of each kind the page has that could load, run or lead somewhere."""
    return page.evaluate(
        """() => Object.fromEntries(
            ["script", "style", "img", "iframe", "object", "embed", "link", "base", "form", "meta", "title", "a"].map(
                (name) => [name, document.querySelectorAll(name).length]))"""
    )


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_hostile_names_are_only_text(open_page, hostile, scripts):
    page, before = (open_page(path, scripts=scripts) for path in hostile)
    assert elements(page) == elements(before)
    assert page.evaluate("window.hijacked") is None
    handlers = "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(n => n.startsWith('on'))"
    assert page.evaluate(handlers) == []
    assert page.evaluate(
        "[...document.querySelectorAll('[href]')].map(e => e.getAttribute('href'))"
    ) == before.evaluate("[...document.querySelectorAll('[href]')].map(e => e.getAttribute('href'))")
    text = page.evaluate("document.body.textContent")
    assert MARKUP in text
    assert "{{ 7 * 7 }}" in text
    assert "49" not in re.findall(r"\d+", text[text.index("{{ 7") :][:30])


@pytest.mark.parametrize("size", SIZES)
def test_hostile_names_do_not_break_the_layout(open_page, hostile, size):
    page, before = (open_page(path, size) for path in hostile)
    assert sideways(page) <= 0
    heights = [one.evaluate("document.documentElement.scrollHeight") for one in (page, before)]
    assert heights[0] < 3 * heights[1]
    widest = page.evaluate(
        "Math.max(...[...document.querySelectorAll('svg')].map(e => e.getBoundingClientRect().width))"
    )
    assert widest < 5000


def test_text_that_turns_the_direction_cannot_turn_our_own_words(open_page, hostile):
    """Beyond the paragraphs that are wholly the store's, a character that turns the direction stands in a <bdi>."""
    loose = open_page(hostile[0]).evaluate(
        """() => {
            const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            const found = [];
            while (walker.nextNode()) {
                const { data, parentElement } = walker.currentNode;
                const turns = /[\\u202a-\\u202e\\u2066-\\u2069]/.test(data);
                if (turns && !parentElement.closest("bdi, script, [aria-label=Notes], .warning")) found.push(data);
            }
            return found;
        }"""
    )
    assert [text[:80] for text in loose] == []


def test_hostile_names_stay_text_whatever_is_chosen(open_page, hostile):
    page = open_page(hostile[0])
    for control in ("metric", "split", "mode", "seed", "backend", "minus"):
        for value in page.eval_on_selector_all(f"#{control} option", "options => options.map(option => option.value)"):
            page.select_option(f"#{control}", value)
        page.goto(page.url.partition("#")[0])
    cells = page.locator("#explore [role=gridcell]:visible")
    for i in (0, 7):
        cells.nth(i).click()
    cells.nth(12).hover()
    page.fill("#trials-find", "script")
    page.locator("#trials-head button").first.click()
    assert page.locator("#cards article").count() == 3
    assert page.locator("#trials-body tr").count() > 10
    assert page.evaluate("window.hijacked") is None
    assert elements(page) == elements(open_page(hostile[1]))
    assert sideways(page) <= 0
    page.reload()
    assert page.locator("#cards article").count() == 2


def test_a_hostile_name_in_the_address_is_only_text(open_page, hostile):
    page = open_page(hostile[0], address=f"#find={MARKUP}&of={BACKENDS['numpy']}&status={MARKUP}&sort={MARKUP}")
    assert page.evaluate("window.hijacked") is None
    assert elements(page) == elements(open_page(hostile[1]))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_hostile_page_shuts_nobody_out(open_page, hostile, theme):
    assert violations(open_page(hostile[0], scheme=theme)) == []


def test_no_text_of_a_table_is_a_formula_in_a_spreadsheet(hostile):
    """These files are opened by a double click; `harness export`, an interface for programs, gives the text exactly."""
    dangerous = []
    for path in (hostile[0].parent / "tables").glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.reader(file):
                dangerous += [(path.name, cell[:30]) for cell in row if re.match(r"[=+@\t\r]|-(?![\d.]|inf)", cell)]
    assert dangerous == []


def test_the_markdown_of_a_hostile_store_is_only_text(hostile):
    page, _ = hostile
    text = markdown.study_report(Results(Store(f"sqlite:///{page.parents[1] / 'store.db'}"), NAME).study())
    assert "<details>" in text
    before_facts = text.split("## Made with")[0]  # which have the whole title
    without_ours = re.sub(r"</?(details|summary)>", "", text)
    assert not re.search(r"[<\x00-\x09\x0b-\x1f\u202a-\u202e]", without_ours)
    assert max(len(cell) for line in before_facts.splitlines() for cell in line.split(" | ")) < 3000


def test_half_a_character_is_shown_as_a_question_mark(tmp_path):
    url = f"sqlite:///{tmp_path / 'half.db'}"
    name = write_store(url, grid())
    with sqlite3.connect(tmp_path / "half.db") as connection:
        (facts,) = connection.execute("SELECT facts FROM experiments").fetchone()
        spoilt = json.dumps(json.loads(facts) | {"notes": ["half \ud800 a character"]})
        assert r"\ud800" in spoilt
        connection.execute("UPDATE experiments SET facts = ?", (spoilt,))
    connection.close()
    assert Results(Store(url), name).study().notes == ["half ? a character"]
    assert "half ? a character" in Results(Store(url), name).report(tmp_path).read_text(encoding="utf-8")
