"""The pages are built without a warning, and a reader's browser fetches nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from doc_blocks import ROOT

MKDOCS = Path(sys.executable).with_name("mkdocs")
pytestmark = pytest.mark.skipif(not MKDOCS.exists(), reason="mkdocs is not installed")


def build(root, site):
    return subprocess.run(
        [MKDOCS, "build", "--strict", "--quiet", "--site-dir", site],
        cwd=root,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


def test_it_is_built_without_a_warning(tmp_path):
    done = build(ROOT, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).strip() == ""
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= 16
    for page in pages:
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(r'<(?:script|img)[^>]* src="?(https?:[^" >]+)', text)
        fetched += re.findall(
            r'<link[^>]* rel="?(?:stylesheet|preconnect)"?[^>]* href="?(https?:[^" >]+)', text
        )
        assert not fetched, page


def test_a_link_that_leads_nowhere_is_an_error(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "mkdocs.yml").write_text((ROOT / "mkdocs.yml").read_text().partition("nav:")[0])
    (tmp_path / "docs" / "index.md").write_text("# Page\n\n[there](nowhere.md)\n")
    assert build(tmp_path, tmp_path / "site").returncode != 0


def test_every_page_has_a_place_in_the_menu():
    menu = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    named = set(re.findall(r"([\w-]+\.md)", menu))
    assert named == {page.name for page in (ROOT / "docs").glob("*.md")}
