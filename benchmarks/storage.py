"""Storage and training data against their yardsticks, both sides of every figure in one run.

    python benchmarks/storage.py --camels FOLDER [--peer-python PYTHON] [--sites 10000] [--only ingest ...]

``--camels`` is CAMELS-US in the official layout. ``--peer-python`` is a Python that has neuralhydrology 1.13
and xbatcher 0.4 (``pip install neuralhydrology==1.13.0 xbatcher==0.4.0``, in an environment of their own);
without it those that can be imported here are compared. Sides take turns; figures are medians. Memory is the
sum of the resident sizes of all processes at their worst, what they share counted in each.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from machine import describe_machine

HERE = Path(__file__).parent
WINDOW, BATCH = 365, 256
PEERS = {"neuralhydrology": 10, "xbatcher": 2}
SECTIONS = ("ingest", "unchanged", "first batch", "sequential", "windows", "scale")


def show(name: str, value: float, unit: str, ratio: str = "") -> None:
    print(f"  {name:58s} {value:12,.3g} {unit:10s} {ratio}", flush=True)


def timed(step: Callable[[], object]) -> float:
    """Give the seconds that a call takes."""
    begun = time.perf_counter()
    step()
    return time.perf_counter() - begun


def read_text(files: list[str]) -> int:
    """Read text files of CAMELS-US with pandas; give the number of rows."""
    rows = 0
    for file in files:
        skipped = 3 if "forcing" in file else 0
        rows += len(pd.read_csv(file, sep=r"\s+", skiprows=skipped, header=0 if skipped else None))
    return rows


def text_files(camels: Path) -> list[str]:
    """Give the forcing and streamflow files that a store is made from."""
    forcing = sorted(camels.glob("**/basin_mean_forcing/*/*/*_forcing_leap.txt"))
    gauges = {file.name[:8] for file in forcing}
    flow = sorted(camels.glob("**/usgs_streamflow/*/*_streamflow_qc.txt"))
    return [str(file) for file in [*forcing, *(each for each in flow if each.name[:8] in gauges)]]


def ingest_section(spec: dict, store: Path, files: list[str], repeats: int) -> None:
    """Print the time of a whole ingest against reading the same text with pandas in two processes."""
    from thalweg.storage.ingest.pipeline import ingest_all
    from thalweg.storage.ingest.plan import Options

    size = sum(os.path.getsize(file) for file in files) / 1e6
    print(f"Ingest of {len(files)} text files, {size:.0f} MB: read, checked, summed up, committed")

    def with_pandas() -> None:
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            list(pool.map(read_text, [files[0::2], files[1::2]]))

    def ours() -> None:
        shutil.rmtree(store, ignore_errors=True)
        ingest_all(store, spec, Options(workers=2))

    def both_times(step: Callable[[], None]) -> tuple[float, float]:
        used = time.process_time() + processor_time()
        return timed(step), time.process_time() + processor_time() - used

    turns = [(*both_times(with_pandas), *both_times(ours)) for _ in range(repeats)]
    plain, least, whole, used = (statistics.median(side) for side in zip(*turns, strict=True))
    ratio = statistics.median(turn[2] / turn[0] for turn in turns)
    show("pandas.read_csv, two processes", plain, "s", f"{least:.2f} s of processors")
    show(
        "thalweg ingest, two processes",
        whole,
        "s",
        f"{ratio:.2f} x pandas (at most 1.5), {used:.2f} s of processors",
    )


def unchanged_section(spec: dict, store: Path, folder: Path, repeats: int) -> None:
    """Print the time of an ingest that finds nothing new, from a shell and within Python."""
    from thalweg.storage.ingest.pipeline import ingest_all

    print("A second ingest of the same files")
    file = folder / "ingest.yaml"
    file.write_text(json.dumps({"store": str(store), "source": spec}))
    command = [str(Path(sys.executable).parent / "thalweg"), "ingest", str(file)]
    before = processor_time()
    shell = statistics.median(
        timed(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(repeats)
    )
    spent = (processor_time() - before) / repeats
    show("thalweg ingest, from a shell", shell, "s", f"(below 3), {spent:.2f} s of a processor")
    inside = statistics.median(timed(lambda: ingest_all(store, spec)) for _ in range(repeats))
    show("within Python", inside, "s")


def processor_time() -> float:
    """Give the processor time (s) of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


FIRST_BATCH = """
import sys, time
import dask.array, icechunk, pint
from benchmark_parts import make_batches, prepare
begun, used = time.perf_counter(), time.process_time()
prepared = prepare(sys.argv[1], None)
data = prepared.training(0, 365)
make_batches(data, 365, 0, 256, 0).draw()
print(time.perf_counter() - begun, time.process_time() - used, len(prepared.fold.train.sites))
"""


def first_batch_section(store: Path, repeats: int) -> None:
    """Print the time from opening a store to the first batch of ten training years, in a new process."""
    print("Opening the store, scaling, ten years of all sites into memory, first batch")
    found = [run_python(FIRST_BATCH, str(store)).split() for _ in range(repeats)]
    seconds, used = (statistics.median(float(each[place]) for each in found) for place in (0, 1))
    name = f"{found[0][2]} sites, in a new process, after imports"
    show(name, seconds, "s", f"(below 1), {used:.2f} s of processors")


def sequential_section(store: Path, folder: Path, repeats: int) -> None:
    """Print how fast a store is read from end to end, against a memory map of the same values."""
    from numcodecs import Blosc

    from thalweg.storage.store import open_store

    dataset = open_store(store)
    names = [name for name, values in dataset.data_vars.items() if values.ndim == 2]
    whole = {name: dataset[name].values for name in names}
    size = sum(values.nbytes for values in whole.values()) / 1e9
    plain, packed = folder / "plain.bin", folder / "packed.bin"
    codec, lengths = Blosc("lz4", 5, Blosc.SHUFFLE), []
    with plain.open("wb") as raw, packed.open("wb") as small:
        for values in whole.values():
            raw.write(values.tobytes())
            for first in range(0, len(values), 64):
                for day in range(0, values.shape[1], 2922):
                    block = np.ascontiguousarray(values[first : first + 64, day : day + 2922])
                    content = codec.encode(block)
                    lengths.append((len(content), block.nbytes))
                    small.write(content)

    def from_map() -> None:
        np.array(np.memmap(plain, np.float32, "r"))

    def unpacked() -> None:
        content, place, offset = np.memmap(packed, np.uint8, "r"), 0, 0
        result = np.empty(sum(length for _, length in lengths), np.uint8)
        for length, full in lengths:
            codec.decode(content[place : place + length], result[offset : offset + full])
            place, offset = place + length, offset + full

    def both_times(step: Callable[[], object]) -> tuple[float, float]:
        used = time.process_time()
        return timed(step), time.process_time() - used

    def from_store() -> tuple[float, float]:
        opened = open_store(store)  # anew, since xarray keeps what was read
        return both_times(lambda: [opened[name].values for name in names])

    print(f"Sequential read of {size:.2f} GB in {len(names)} variables, files in the system's cache, opened")
    turns = [(*both_times(from_map), *both_times(unpacked), *from_store()) for _ in range(4 * repeats + 1)]
    mapped, _, decoded, least, stored, used = map(statistics.median, zip(*turns, strict=True))
    show("numpy.memmap of the plain bytes", size / mapped, "GB/s")
    show("numpy.memmap of the same chunks, and their decompression", size / decoded, "GB/s")
    show("the store", size / stored, "GB/s", f"{decoded / stored:.0%} of the latter (at least 60 %)")
    show("the same, a second of processors", size / used, "GB/s", f"{least / used:.0%} of the latter's")


def windows_section(store: Path, folder: Path, peer_python: str | None, turns: int) -> None:
    """Print training windows a second, in memory and streamed, against other packages' loaders."""
    from benchmark_parts import our_loaders, rate, write_for_peers

    print(f"Training windows of {WINDOW} days, {BATCH} a batch, sites and first days drawn at random")
    data = folder / "peers"
    data.mkdir()
    write_for_peers(store, data / "data.npz")
    loaders = our_loaders(store, WINDOW, BATCH)
    with ExitStack() as stack:
        peers = [stack.enter_context(peer(package, peer_python, data)) for package in PEERS]
        found: dict[str, list[float]] = {}
        for _ in range(turns):
            turn = {name: rate(batches) for name, batches in loaders.items()}
            for ask in peers:
                turn |= ask()
            for name, value in turn.items():
                found.setdefault(name, []).append(value)
    ours = found["thalweg, in memory"]
    for name, values in found.items():
        # of rates in the same turn: a busy machine is busy for both
        ratio = statistics.median(a / b for a, b in zip(ours, values, strict=True))
        wanted = next((f", wanted {each}" for package, each in PEERS.items() if name.startswith(package)), "")
        show(name, statistics.median(values), "windows/s", f"in memory is {ratio:.1f} x{wanted}")


@contextmanager
def peer(package: str, python: str | None, data: Path) -> Iterator[Callable[[], dict[str, float]]]:
    """Start another package's loaders; give what lets each of them run for a spell."""
    python = python or (sys.executable if importlib.util.find_spec(package) else None)
    if python is None:
        print(f"  {package} cannot be imported here: not compared; give --peer-python")
        yield dict
        return
    command = [python, str(HERE / "storage_peers.py"), package, str(data)]
    command += ["--window", str(WINDOW), "--batch", str(BATCH)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines = (line for line in process.stdout if line.startswith(("{", "[")))
        next(lines)

        def ask() -> dict[str, float]:
            print(file=process.stdin, flush=True)
            answer: dict[str, float] = json.loads(next(lines))
            return answer

        yield ask
        process.stdin.close()


def scale_section(folder: Path, sites: int, years: int) -> None:
    """Print time and memory of a store of many sites: made, ten days added, streamed."""
    days = round(365.25 * years)
    store = str(folder / "many")
    size = 16e-9 * sites * days
    print(f"{sites} sites x {years} years x 4 variables, {size:.2f} GB as float32 (within 3 GB of memory)")
    for name, added in (("made", 0), ("ten days added", 10)):
        seconds, peak, _ = watched(INGEST, store, str(sites), str(days + added))
        show(f"{name}, peak {peak / 1e9:.2f} GB", seconds, "s", f"{size / seconds * 1e3:.0f} MB/s")
    budget = 0.4 * size  # too little for its forcings, also scaled, of nine tenths of the years
    seconds, peak, printed = watched(STREAM, store, str(budget))
    show(f"streamed, budget {budget:.2g} GB, peak {peak / 1e9:.2f} GB", seconds, "s", printed.strip())


INGEST = """
import os, sys
os.environ["SYNTHETIC_DAYS"] = sys.argv[3]
from thalweg.storage.ingest.pipeline import ingest_all
ingest_all(sys.argv[1], {"kind": "synthetic_sites:Sites", "sites": int(sys.argv[2])})
"""
STREAM = """
import sys
from benchmark_parts import stream
stream(sys.argv[1], float(sys.argv[2]))
"""


def run_python(code: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def watched(code: str, *arguments: str) -> tuple[float, int, str]:
    """Run Python code; give its time (s), its peak of memory (bytes) with all its processes, what it says."""
    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.05):
            peak = max(peak, resident(os.getpid()) - own_size(os.getpid()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    begun = time.perf_counter()
    try:
        printed = run_python(code, *arguments)
    finally:
        over.set()
        watcher.join()
    return time.perf_counter() - begun, peak, printed


def resident(process: int) -> int:
    """Give the bytes of a process and all that it started."""
    try:
        tasks = Path(f"/proc/{process}/task").iterdir()
        children = [child for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it has ended
        return 0
    return own_size(process) + sum(resident(int(child)) for child in children)


def own_size(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def main() -> None:
    """Run the sections asked for and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--camels", type=Path)
    parser.add_argument("--forcing", default="maurer_extended")
    parser.add_argument("--peer-python")
    parser.add_argument("--sites", type=int, default=10_000)
    parser.add_argument("--years", type=int, default=40)
    parser.add_argument("--store", type=Path, help="one that was made before, instead of making it")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    options = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as name:
        folder, wanted = Path(name), set(options.only)
        if options.camels is None:
            print("  without --camels only the synthetic store is measured")
            wanted &= {"scale"}
        else:
            spec = {"kind": "camels_us", "path": str(options.camels), "forcing": options.forcing}
            camels(spec, folder, wanted, options)
        if "scale" in wanted:
            scale_section(folder, options.sites, options.years)


def camels(spec: dict, folder: Path, wanted: set[str], options: argparse.Namespace) -> None:
    """Run the sections that need CAMELS-US."""
    from thalweg.storage.ingest.pipeline import ingest_all

    store = options.store or folder / "camels"
    if "ingest" in wanted:
        ingest_section(spec, store, text_files(options.camels), options.repeats)
    elif wanted - {"scale"} and options.store is None:
        ingest_all(store, spec)
    if "unchanged" in wanted:
        unchanged_section(spec, store, folder, options.repeats)
    if "first batch" in wanted:
        first_batch_section(store, options.repeats)
    if "sequential" in wanted:
        sequential_section(store, folder, options.repeats)
    if "windows" in wanted:
        windows_section(store, folder, options.peer_python, options.repeats)


if __name__ == "__main__":
    main()
