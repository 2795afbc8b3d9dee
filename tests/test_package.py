"""The package itself: what is listed is what is there, and the floors hold."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = PROJECT["tool"]["setuptools"]["package-dir"]


def packages_on_disk():
    found = {"thalweg"}
    for name, folder in FOLDERS.items():
        if name == "thalweg":
            continue
        top = ROOT / folder
        for place in (top, *sorted(path for path in top.rglob("*") if path.is_dir())):
            relative = place.relative_to(top)
            if "__pycache__" not in relative.parts and any(place.glob("*.py")):
                found.add(".".join((name, *relative.parts)))
    return found


def test_every_package_is_listed():
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    # the pages of the dashboard are scripts that Streamlit runs, yet they must be in the wheel
    assert listed == packages_on_disk()


def test_every_package_has_an_init():
    for name in PROJECT["tool"]["setuptools"]["packages"]:
        top, _, rest = name.removeprefix("thalweg.").partition(".")
        folder = (
            ROOT / FOLDERS["thalweg"]
            if name == "thalweg"
            else ROOT / FOLDERS[f"thalweg.{top}"] / rest.replace(".", "/")
        )
        assert (folder / "__init__.py").exists(), name


def test_the_console_script_leads_somewhere():
    module, _, function = PROJECT["project"]["scripts"]["thalweg"].partition(":")
    code = f"from {module} import {function}; assert callable({function})"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_floors(tmp_path):
    command = Path(sys.executable).with_name("lint-imports")
    found = str(command) if command.exists() else shutil.which("lint-imports")
    if found is None:
        pytest.skip("import-linter is not installed: pip install 'thalweg[dev]'")
    # the linter reads folders, and an editable install has the packages elsewhere
    (tmp_path / "thalweg").mkdir()
    (tmp_path / "thalweg" / "__init__.py").touch()
    for name, folder in FOLDERS.items():
        if name != "thalweg":
            (tmp_path / "thalweg" / name.removeprefix("thalweg.")).symlink_to(ROOT / folder)
    done = subprocess.run(
        [found, "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout
