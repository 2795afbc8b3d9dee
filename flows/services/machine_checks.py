"""What `thalweg doctor` looks at on this machine: the installation, and what it has to work with."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import ssl
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from pathlib import Path

from thalweg.flows.services.finding import Finding
from thalweg.flows.services.settings import read

GIB = 2**30
DISK_WARNING, DISK_LEAST, MEMORY_LEAST = 10 * GIB, 1 * GIB, 4 * GIB
PYTHONS = ((3, 11), (3, 14))
DEVICES, MEMORY_LIMIT = Path("/dev"), Path("/sys/fs/cgroup/memory.max")
# what the metadata of packages allows, and yet does not run
CONFLICTS = (
    ("fastapi", (0, 151), "Prefect 3.8 does not start with it: pip install 'fastapi<0.151'"),
    ("sqlalchemy", (2, 1), "Prefect 3.8 plans no runs with it: pip install 'sqlalchemy<2.1'"),
    ("xarray", (2026, 9), "it calls Zarr functions that 3.1 lacks: pip install 'xarray<2026.9'"),
)


def python() -> Iterable[Finding]:
    """Look at the interpreter."""
    found = ".".join(map(str, sys.version_info[:3]))
    least, most = PYTHONS
    if not least <= sys.version_info[:2] < most:
        yield Finding("python", "error", found, "use Python 3.11 to 3.13")
    else:
        yield Finding("python", "ok", found)


def packages() -> Iterable[Finding]:
    """Look for packages that are missing, or of versions that do not work together."""
    from packaging.requirements import Requirement

    bad = []
    for text in requires("thalweg") or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            there = version(wanted.name)
        except PackageNotFoundError:
            bad.append(f"{wanted.name} is missing")
            continue
        if not wanted.specifier.contains(there, prereleases=True):
            bad.append(f"{wanted.name} {there} is not {wanted.specifier}")
    if bad:
        again = "pip install -c constraints.txt -e ."
        yield Finding("packages", "error", "; ".join(bad), f"install it again: {again}")
    else:
        yield Finding("packages", "ok", f"thalweg {version('thalweg')}, all that it requires")
    for name, limit, advice in CONFLICTS:
        numbers = tuple(int(part) for part in version(name).split(".")[:2] if part.isdecimal())
        if numbers >= limit:
            yield Finding("packages", "error", f"{name} {version(name)}", advice)
    if importlib.util.find_spec("streamlit") is None:
        yield Finding("packages", "warning", "no dashboard", "pip install 'thalweg[dashboard]'")


def location() -> Iterable[Finding]:
    """See that the code that runs is the one that is installed."""
    import thalweg

    direct = distribution("thalweg").read_text("direct_url.json") or "{}"
    editable = json.loads(direct).get("dir_info", {}).get("editable", False)
    where = Path(str(thalweg.__file__)).parent
    yield Finding("location", "ok", f"{where}{' (editable)' if editable else ''}")


def disk() -> Iterable[Finding]:
    """Look at the room where things are written."""
    settings = read()
    temporary = Path(tempfile.gettempdir())
    places = {"here": Path.cwd(), "temporary files": temporary}
    if "://" not in settings.runs:
        places["runs"] = Path(settings.runs)
    for name, place in places.items():
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        found = f"{free / GIB:,.1f} GiB free for {name} ({place})"
        if not os.access(place, os.W_OK):
            yield Finding("disk", "error", f"{place}: cannot be written to", "work in a folder of your own")
        elif free < DISK_LEAST:
            yield Finding("disk", "error", found, "make room: a run that cannot write fails")
        elif free < DISK_WARNING:
            yield Finding("disk", "warning", found, "make room soon")
        else:
            yield Finding("disk", "ok", found)


def memory() -> Iterable[Finding]:
    """Look at the memory, and at what Ray shares between processes."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if MEMORY_LIMIT.exists() and (text := MEMORY_LIMIT.read_text().strip()).isdecimal():
        total = min(total, int(text))
    found = f"{total / GIB:,.1f} GiB, {os.cpu_count()} processors"
    few = total < MEMORY_LEAST
    advice = "that is little: `thalweg up` alone takes 2.5" if few else ""
    yield Finding("memory", "warning" if few else "ok", found, advice)
    shared = Path("/dev/shm")
    if shared.exists() and (free := shutil.disk_usage(shared).free) < 200 * 2**20:
        advice = "Ray will use the disk instead: give a container --shm-size=1g"
        yield Finding("memory", "warning", f"{free / 2**20:,.0f} MiB of shared memory", advice)


def gpu() -> Iterable[Finding]:
    """See whether torch can use a GPU that is there."""
    import torch

    there = any(DEVICES.glob("nvidia[0-9]*"))
    built = torch.version.cuda
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(each) for each in range(torch.cuda.device_count()))
        yield Finding("gpu", "ok", f"{names}; CUDA {built}")
    elif there and built is None:
        found = f"there is one, but torch {torch.__version__} is built without CUDA"
        yield Finding("gpu", "warning", found, "install torch for CUDA: https://pytorch.org")
    elif there:
        found = f"there is one, but torch {torch.__version__}, for CUDA {built}, does not see it"
        advice = "see that nvidia-smi works, that its CUDA is no older, and what CUDA_VISIBLE_DEVICES says"
        yield Finding("gpu", "warning", found, advice)
    else:
        yield Finding("gpu", "ok", "none; everything runs on processors")


def certificates() -> Iterable[Finding]:
    """See that there are certificates to tell servers by."""
    count = len(ssl.create_default_context().get_ca_certs())
    paths = ssl.get_default_verify_paths()
    if count or (paths.capath and any(Path(paths.capath).glob("*"))):
        yield Finding("certificates", "ok", paths.cafile or paths.capath or "")
    else:
        yield Finding("certificates", "warning", "none", "install ca-certificates: https will fail")
