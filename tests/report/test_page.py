"""The page holds what the run holds, needs nothing else, and lets no text become markup."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from epochal.core.values.figure import FigureSpec
from epochal.report.figures import page_figures as figures
from epochal.report.page import EVENT_NUMBERS, EVENT_STEPS, page
from epochal.report.thinning import thinned
from tests.report.runs import FakeRun, grokking_run, short_run

EVIL = "</script><script>alert(1)</script><b>&\"'{{7*7}}"


class Reader(HTMLParser):
    """Tags with attributes, text by script and elsewhere, table rows of cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.tables: dict[str, list[list[dict[str, Any]]]] = {}
        self.words = ""
        self._inside = self._table = self._script = ""
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append((tag, named))
        self._inside = tag
        if tag == "script":
            self._script = named.get("id") or str(len(self.scripts))
            self.scripts[self._script] = ""
        if tag == "table":
            self._table = named.get("id") or str(len(self.tables))
            self.tables[self._table] = []
        if tag == "tr":
            self.tables[self._table].append([])
        if tag in ("td", "th"):
            self.tables[self._table][-1].append({"text": "", **named})
            self._in_cell = True

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[self._script] += data
            return
        self.words += data
        if self._in_cell:
            self.tables[self._table][-1][-1]["text"] += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""
        self._in_cell = self._in_cell and tag not in ("td", "th")


def read(run: FakeRun) -> Reader:
    return Reader(page(run, [thinned(spec) for spec in figures(run)]))


def test_nothing_is_loaded_from_anywhere(written: Path) -> None:
    text = written.read_text()
    for tag, attributes in Reader(text).tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert re.match(r"^(#|figures/[a-z]+\.(svg|pdf|png)$)", attributes.get(name) or "#"), (
                tag,
                attributes,
            )
    policy = next(
        a["content"] for t, a in Reader(text).tags if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert (policy or "").startswith("default-src 'none'")
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_links_lead_to_files(written: Path) -> None:
    links = [a["href"] for tag, a in Reader(written.read_text()).tags if tag == "a"]
    assert len(links) == 12
    assert all((written.parent / str(link)).exists() for link in links)


def test_every_number_of_every_event_stands_on_the_page(many: FakeRun, many_page: str) -> None:
    head, *rows = Reader(many_page).tables["events-table"]
    names = [cell["text"] for cell in head]
    assert len(rows) == len(many.events) == 600
    for row, event in zip(rows, many.events.iter_rows(named=True), strict=True):
        for column in EVENT_NUMBERS:
            cell = row[names.index(column)]
            if event[column] is None:
                assert (cell["text"], "data-exact" in cell) == ("–", False)
            else:
                assert float(cell["data-exact"]) == event[column]
                shown = float(cell["text"].replace(",", ""))
                if column in EVENT_STEPS:
                    assert abs(shown - event[column]) <= 0.5 and "." not in cell["text"]
                else:
                    assert shown == pytest.approx(event[column], rel=6e-4)
        assert row[names.index("censored")]["text"] == event["censored"]


def test_user_text_stays_text(tmp_path: Path) -> None:
    run = grokking_run(tmp_path, num_seeds=3, operations=(EVIL, "x"), num_records=30, settings={EVIL: [EVIL]})
    members = run.members.with_columns(outcome_reason=pl.lit(EVIL))
    odd = FakeRun(**{**run.__dict__, "name": EVIL, "members": members, "spec": {**run.spec, "command": EVIL}})
    reader = read(odd)
    assert [tag for tag, _ in reader.tags].count("script") == 4
    assert "b" not in {tag for tag, _ in reader.tags}
    assert reader.words.count(EVIL) > 10
    payload = json.loads(reader.scripts["payload"])
    assert EVIL in payload["figures"][0]["panels"][0]["layer"][1]["encoding"]["color"]["scale"]["domain"]
    assert "<" not in reader.scripts["payload"]


def test_the_payload_unpacks_to_the_drawn_tables(many: FakeRun, many_drawn: list[FigureSpec]) -> None:
    drawn = many_drawn
    payload = json.loads(Reader(page(many, drawn)).scripts["payload"])
    table = payload["figures"][0]["tables"]["val_accuracy"]
    runs = table["member"]["runs"]
    members = [value for value, count in zip(runs[::2], runs[1::2], strict=True) for _ in range(count)]
    assert members == drawn[0].tables["val_accuracy"]["member"]
    values = drawn[0].tables["val_accuracy"]["value"]
    shown = table["value"]
    assert len(shown) == len(values)
    pairs = [(a, b) for a, b in zip(shown, values, strict=True) if a is not None]
    assert all(a == pytest.approx(b, rel=1e-5, abs=1e-12) for a, b in pairs)
    assert all(isinstance(b, float) and b != b for a, b in zip(shown, values, strict=True) if a is None)


def test_200_members_fit_into_three_megabytes(many_page: str) -> None:
    assert len(many_page.encode()) < 3e6


def test_failed_and_unfinished_members_are_named(many: FakeRun, many_page: str, tmp_path: Path) -> None:
    words = Reader(many_page).words
    num_diverged = len(many.members.filter(outcome="diverged"))
    assert f"{num_diverged} of 200 diverged" in words
    assert words.count("diverged at step") == num_diverged
    assert "This run is not done" not in words
    interrupted = read(grokking_run(tmp_path, num_records=20, is_done=False)).words
    assert "This run is not done" in interrupted
    assert interrupted.count("running at step") == 5


def test_a_page_written_just_before_the_run_is_marked_done_says_so(five: FakeRun) -> None:
    almost = FakeRun(**{**five.__dict__, "is_done": False})
    assert "This run is not done" not in read(almost).words


def test_nothing_but_nulls_gives_a_page_without_figures(tmp_path: Path) -> None:
    reader = read(short_run(tmp_path, values=False))
    assert "Nothing was measured" in reader.words
    assert "memorised" not in reader.words


def test_what_was_run_and_how_to_repeat_it(five: FakeRun, written: Path) -> None:
    words = Reader(written.read_text()).words
    assert "5 members that differ in seed (5 values), trained for up to 20,000 steps." in words
    assert five.spec["command"] in words
    assert "0:5" in words
    assert "226,816 parameters per member" in words
    for name, value in five.environment["versions"].items():
        assert f"versions.{name}" in words
        assert value in words


def test_fields_off_their_default_are_marked(five: FakeRun) -> None:
    told = FakeRun(**{**five.__dict__, "spec": {**five.spec, "defaults": {"width": 64, "modulus": 113}}})
    rows = [
        row
        for table in read(told).tables.values()
        for row in table
        if row and row[0]["text"] in ("width", "modulus")
    ]
    assert [[cell["text"] for cell in row] for row in rows] == [
        ["modulus", "113", ""],
        ["width", "128", "default 64"],
    ]
