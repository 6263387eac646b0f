"""The page's files: nothing that parses markup or reaches out, every word in every language, no file that swells."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edge.panel.app import STATIC

SCRIPTS = sorted(STATIC.glob("*.js"))
EVERYTHING = sorted(STATIC.iterdir())


def words() -> dict[str, list[str]]:
    texts = [(STATIC / "words.js").read_text(), (STATIC / "words_pages.js").read_text()]
    body = "".join(text[re.search(r"export const \w*WORDS", text).start() :] for text in texts)  # type: ignore[union-attr]
    rows = re.findall(r"^  (\w+): (\[.*?\]),$", body, flags=re.MULTILINE | re.DOTALL)
    return {name: json.loads(re.sub(r",\s*\]", "]", row)) for name, row in rows}


def test_there_is_a_page() -> None:
    assert len(SCRIPTS) > 10
    assert len(words()) > 50


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_script_parses_markup_or_text_as_code(path: Path) -> None:
    text = path.read_text()
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        'setAttribute("on',
    ):
        assert forbidden not in text
    assert "import(" not in re.sub(r"/\*\*.*?\*/", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: path.name)
def test_no_file_names_another_machine_and_none_swells(path: Path) -> None:
    text = path.read_text()
    strangers = re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}", text.replace("http://www.w3.org/", ""))
    assert strangers == []
    assert len(text.splitlines()) <= 300


def test_the_page_has_no_script_or_style_inside() -> None:
    page = (STATIC / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|javascript:", page) == []


def test_every_word_is_there_in_every_language_with_the_same_gaps() -> None:
    for name, row in words().items():
        assert len(row) == 4, name
        assert all(text.strip() for text in row), name
        assert len({frozenset(re.findall(r"\{\w+\}", text)) for text in row}) == 1, name


def test_every_word_asked_for_exists() -> None:
    page = (STATIC / "index.html").read_text()
    asked = set(re.findall(r'data-(?:word|label)="(\w+)"', page))
    asked |= {name for path in SCRIPTS for name in re.findall(r"""\bsay\("(\w+)\"""", path.read_text())}
    asked |= {name.lower() for name in re.findall(r'data-act="(\w+)"', page)}
    assert asked - set(words()) == set()


def test_every_icon_and_element_the_scripts_name_exists() -> None:
    page = (STATIC / "index.html").read_text()
    ids = set(re.findall(r'\bid="([\w-]+)"', page))
    assert len(ids) == len(re.findall(r'\bid="([\w-]+)"', page)), "an id is there twice"
    named = {name for path in SCRIPTS for name in re.findall(r'\b(?:byId|dialog)\("([\w-]+)"\)', path.read_text())}
    assert named - ids == set()
    assert set(re.findall(r'href="#([\w-]+)"', page)) <= ids
