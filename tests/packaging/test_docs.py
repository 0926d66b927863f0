"""What the documentation's site is made of; `make docs` builds it, and refuses links that lead nowhere."""

from __future__ import annotations

import re

from build_support.command_line import pages
from build_support.docs import COMMAND_LINE, RESULTS, on_page_markdown
from tests.packaging.building import ROOT
from tryon.cli import build_parser

DOCS = ROOT / "docs"


def test_every_page_has_its_place_in_the_navigation() -> None:
    listed = re.findall(r"^ +- [^:]+: ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted([COMMAND_LINE.name, *(page.name for page in DOCS.glob("*.md"))])


def test_the_command_lines_page_has_the_help_of_every_command() -> None:
    text = "\n".join(pages(build_parser()))
    commands = re.findall(r"^#+ (tryon.*)$", text, re.MULTILINE)
    assert {"tryon", "tryon train", "tryon infer", "tryon data check"} <= set(commands)
    assert text.count("\nusage: ") == len(commands)


def test_links_to_plots_of_benchmarks_are_links_within_the_site() -> None:
    text = (DOCS / "results.md").read_text()
    assert f"](../{RESULTS}/" in text
    assert f"](../{RESULTS}/" not in on_page_markdown(text)
    for plot in re.findall(rf"\]\(({RESULTS}/[^)]+)\)", on_page_markdown(text)):
        assert (ROOT / plot).exists()


def test_a_reader_is_sent_to_no_font_script_or_style_of_another_host() -> None:
    assert "font: false" in (ROOT / "mkdocs.yml").read_text()
    for file in (ROOT / "mkdocs.yml", *DOCS.glob("*.css"), *(DOCS / "images").glob("*.svg")):
        assert not re.search(r"(?:href|src|url|extra_\w+).*https?://", file.read_text())
