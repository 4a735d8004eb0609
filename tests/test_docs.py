"""README and documentation site: complete, up to date, built without a warning."""

import argparse
import ast
import html
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import vidstyle
from vidstyle.cli import build_parser
from vidstyle.cli.main import _parsed
from vidstyle.live.commands import PARAMETERS

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
README_LINES = 150
HTTP_PAGE = DOCS / "guide" / "http.md"
PROGRESS_PAGE = DOCS / "reference" / "progress.md"

NO_NETWORK = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
"""Whoever opens a connection in spite of the configuration is refused: nothing listens on port 9.
"""


def code_blocks(language):
    """(page, text) of every code block of a language, without those that the build runs."""
    fence = re.compile(rf"^( *)```{language}\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
    return [
        (str(page.relative_to(ROOT)), match[2])
        for page in PAGES
        for match in fence.finditer(page.read_text())
    ]


def subparsers():
    """Name -> parser of every command."""
    actions = build_parser()._actions
    return next(each.choices for each in actions if isinstance(each, argparse._SubParsersAction))


def load(script):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site():
    """The folder of the site, built anew, without a message about anything."""
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | NO_NETWORK,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    lines = [line.split(" in ")[0] for line in result.stdout.splitlines() if line.strip()]
    assert sorted(lines) == ["Build finished", "Build started", "No issues found"], result.stdout
    return ROOT / "build" / "site"


def test_docs_site_lists_every_flag(site):
    page = html.unescape((site / "reference" / "cli.html").read_text())
    for name, parser in subparsers().items():
        assert f"vidstyle {name}<" in page
        for action in parser._actions:
            for flag in action.option_strings if action.help != argparse.SUPPRESS else ():
                assert re.search(rf"(<code>|, ){re.escape(flag)}[ ,<]", page), (name, flag)


def test_docs_site_lists_every_public_name(site):
    page = (site / "reference" / "python.html").read_text()
    assert not [name for name in vidstyle.__all__ if f'id="vidstyle.{name}"' not in page]


def test_docs_site_loads_files_that_exist_and_nothing_from_other_hosts(site):
    loaded = re.compile(r'<(?:script|img|source|link)\b[^>]*?\s(?:src|href)="?([^"\s>]+)')
    for page in site.rglob("*.html"):
        for name in loaded.findall(page.read_text()):
            if page.name != "404.html":  # its addresses start at the root of the host
                assert (page.parent / name.split("?")[0]).exists(), (page, name)


def test_docs_navigation_has_every_page():
    listed = re.findall(r":\s(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def test_docs_pictures_of_settings_show_the_defaults():
    script = load(DOCS / "make_settings_pictures.py")
    assert script.BEGIN + script.tables() + script.END in script.PAGE.read_text()


def test_readme_is_short_and_shows_the_test_command():
    readme = README.read_text()
    assert len(readme.splitlines()) <= README_LINES
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1].strip() in readme


def test_readme_names_files_that_exist():
    for word in re.split(r"[\s()|]+", README.read_text()):
        if word.startswith(("samples/", "docs/", "benchmarks/")):
            assert (ROOT / word.rstrip(".,`:")).exists(), word


def test_docs_tables_show_the_measured_figures(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    table = load(ROOT / "benchmarks" / "table.py")
    for page in table.PAGES:
        assert table.rendered(page) == (ROOT / page).read_text(), page


def test_docs_tables_have_rows():
    for page in (ROOT / "docs").rglob("*.md"):
        assert not re.search(r"\|[-|]+\|\n(?! *\|)", page.read_text()), f"an empty table in {page}"


def test_docs_commands_are_accepted_by_the_parsers():
    lines = [
        (page, line)
        for page, block in [*code_blocks("sh"), *code_blocks("powershell")]
        for line in re.split(r"\n|\||&&", block)
        if line.strip().startswith("vidstyle ")
    ]
    assert len(lines) > 30
    for page, line in lines:
        _, *arguments = shlex.split(line.replace("\\", "/"), comments=True)
        try:
            _parsed(build_parser(), arguments)
        except SystemExit as end:
            pytest.fail(f"{page}: {line} ends with {end.code}")


def test_docs_python_examples_use_public_names():
    for page, block in code_blocks("python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == "vs":
                assert node.attr in vidstyle.__all__, (page, node.attr)


def test_docs_http_page_lists_every_address_and_parameter():
    page = HTTP_PAGE.read_text()
    web = ROOT / "vidstyle" / "live" / "web"
    server = (web / "server.py").read_text() + (web / "browser_video.py").read_text()
    addresses = set(re.findall(r'Route\("(/[\w./]+)"', server))
    assert addresses
    for name in (*addresses, *PARAMETERS):
        assert f"{name}`" in page or f"{name}?" in page, name


def test_docs_http_page_lists_every_field_of_the_state(client, page_session):
    page_session.stylize_frame()
    section = HTTP_PAGE.read_text().split("## State")[1].split("## Commands")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    listed = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(listed) == sorted(client.get("/state").json())


def test_docs_progress_page_lists_the_events_that_commands_write(
    vidstyle, clip, picture_file, style_file
):
    listed, event = {}, ""
    row = re.compile(r"\| ?(?:`(\w+)`)? \| ?(?:`(\w+)`)? \| (.+) \|")
    for name, field, _ in row.findall(PROGRESS_PAGE.read_text()):
        event = name or event
        listed.setdefault(event, ["event"]).extend([field] * bool(field))
    calls = [
        ("render", clip, style_file, "-o", "out.mp4"),
        ("render", clip, style_file, "-o", "frame.png", "--preview", "0.1"),
        ("render", picture_file, style_file, "-o", "out.png"),
        ("mask", clip, picture_file, "-o", "mask.mkv"),
    ]
    written = []
    for call in calls:
        code, out, _ = vidstyle(*call, "--json", "-", "-q")
        events = [json.loads(line) for line in out.splitlines()]
        assert code == 0 and events[-1]["event"] in ("end", "mask")
        written += events
    for made in written:
        assert list(made) == listed[made["event"]]
    assert {made["event"] for made in written} == set(listed)
    units = {made["unit"] for made in written if made["event"] == "progress"}
    assert all(f"`{unit}`" in PROGRESS_PAGE.read_text() for unit in units)


LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


def without_code(text):
    """A page without its code blocks and code in lines, whose brackets are no links."""
    return re.sub(r"`[^`\n]*`", "code", re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.M | re.S))


def anchors_of(page):
    """The anchors of a page's headings, as Markdown's ``toc`` and GitHub both make them."""
    text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(), flags=re.M | re.S)
    for name in re.findall(r'^--8<-- "([^":]+):?\w*"$', text, re.M):
        text += (ROOT / name).read_text()
    titles = [re.sub(r"[^\w\s-]", "", title) for title in re.findall(r"^#+ (.+)$", text, re.M)]
    return {re.sub(r"[\s-]+", "-", title.strip().lower()) for title in titles}


def test_docs_relative_links_and_anchors_exist():
    for page in (*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"):
        for found in LINK.findall(without_code(page.read_text())):
            target, _, anchor = "".join(found).partition("#")
            if target.startswith(("http:", "https:", "mailto:")):
                continue
            there = (page.parent / target).resolve() if target else page
            assert there.exists(), (page, target)
            if anchor:
                assert anchor in anchors_of(there), (page, target, anchor)


def test_docs_first_page_leads_to_every_page():
    """Each page is linked from the first one."""
    first = DOCS / "index.md"
    links = {"".join(found).partition("#")[0] for found in LINK.findall(first.read_text())}
    linked = {(first.parent / link).resolve() for link in links}
    missing = {page.resolve() for page in DOCS.rglob("*.md")} - linked - {first.resolve()}
    assert not missing, missing


def test_method_references_are_those_that_the_pages_cite():
    text, references = (DOCS / "method.md").read_text().split("## References")
    text += (DOCS / "benchmarks" / "ablations.md").read_text()
    name = r"((?:van )?[A-ZÀ-Ý][\w-]+)(?: et\s+al\.| & [A-ZÀ-Ý][\w-]+)?"
    cited = {
        (author, year)
        for author, years in re.findall(rf"{name}\s+(\d{{4}}(?:, \d{{4}})*)\b", text)
        for year in years.split(", ")
    }
    entries = [" ".join(entry.split()) for entry in references.split("\n- ")[1:]]
    listed = [
        (re.split(r",|:| et al", entry)[0], re.findall(r"\b(\d{4})\.", entry)[0])
        for entry in entries
    ]
    assert sorted(cited) == sorted(listed)
