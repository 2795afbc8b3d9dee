"""From LLVM text to machine code, kept on disk, and run by all threads."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm

from thalweg.models.engine.fused.emit import Vector

# Raise it when what is not in the text changes, such as the options of the compiler below.
FORMAT = 1

Run = Callable[[int], None]

_lock = threading.Lock()
_loaded: dict[str, Run] = {}
_engines: list[Any] = []
_pool: ThreadPoolExecutor | None = None


@functools.cache
def processor() -> tuple[str, frozenset[str]]:
    """Give the processor's name and features, in LLVM's words."""
    features = llvm.get_host_cpu_features()
    return llvm.get_host_cpu_name(), frozenset(name for name, has in features.items() if has)


def vector_for(single: bool, lanes: int) -> Vector:
    """Give the widest vector that the processor has a register for and that the lanes fill."""
    _, features = processor()
    size = 64 if "avx512f" in features else 32 if "avx2" in features else 16
    width = min(size // (4 if single else 8), 1 << (lanes.bit_length() - 1))
    return Vector(single, width, scalef="avx512f" in features)


def load(text: str) -> Run:
    """Give the kernel of this text, from this process, from disk, or compiled now."""
    key = _key(text)
    with _lock:
        if key not in _loaded:
            code = _read(key)
            if code is None:
                code = _compile(text)
                _write(key, text, code)
            _loaded[key] = _link(code)
        return _loaded[key]


def run(kernel: Run, arguments: Sequence[int], threads: int, memory: object) -> None:
    """Run a kernel on several threads.

    Parameters
    ----------
    arguments : what the kernel wants after the counter of units, which is made here.
    memory : whatever owns the addresses among the arguments; held until no thread uses them, also
        when the wait for them is interrupted.

    The caller's thread takes units too, so nothing waits for a helper that is late to start.
    """
    counter = ctypes.c_int64(0)
    packed = (ctypes.c_int64 * (len(arguments) + 1))(ctypes.addressof(counter), *arguments)
    address = ctypes.addressof(packed)

    def take_units(_owners: object) -> None:
        kernel(address)

    helpers = [_helpers().submit(take_units, (counter, packed, memory)) for _ in range(threads - 1)]
    kernel(address)
    for helper in helpers:
        if not helper.cancel():
            helper.result()


def cache_folder() -> Path:
    """Give where kernels are kept: ``THALWEG_CACHE``, or the user's cache folder."""
    if chosen := os.environ.get("THALWEG_CACHE"):
        return Path(chosen) / "kernels"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "thalweg" / "kernels"


def _helpers() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="thalweg")
    return _pool


def _forget_helpers() -> None:
    """A child process inherits the pool but none of its threads."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_helpers)


def _key(text: str) -> str:
    name, features = processor()
    parts = (str(FORMAT), version("llvmlite"), name, ",".join(sorted(features)), text)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _read(key: str) -> bytes | None:
    """Give machine code from disk, unless it is absent, damaged or somebody else's."""
    try:
        path = cache_folder() / f"{key}.o"
        content = path.read_bytes()
        if hasattr(os, "getuid") and path.stat().st_uid not in (os.getuid(), 0):
            return None
    except OSError:
        return None
    digest, code = content[:32], content[32:]
    return code if hashlib.sha256(code).digest() == digest else None


def _write(key: str, text: str, code: bytes) -> None:
    """Keep machine code on disk, and its text beside it; a read-only disk costs only time."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_whole(folder / f"{key}.ll", text.encode())
        _write_whole(folder / f"{key}.o", hashlib.sha256(code).digest() + code)
    except OSError:
        return


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file so that other processes see all of it or nothing."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
        new = Path(file.name)
        try:
            file.write(content)
            file.close()
            new.replace(path)
        except OSError:
            new.unlink(missing_ok=True)
            raise


@functools.cache
def _machine() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = processor()
    flags = ",".join(f"+{feature}" for feature in sorted(features))
    target = llvm.Target.from_default_triple()
    return lambda: target.create_target_machine(cpu=name, features=flags, opt=3, jit=True, reloc="pic")


def _compile(text: str) -> bytes:
    machine = _machine()()
    module = llvm.parse_assembly(f'target triple = "{machine.triple}"\n{text}')
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    code: bytes = machine.emit_object(module)
    return code


def _link(code: bytes) -> Run:
    machine = _machine()()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(f'target triple = "{machine.triple}"'), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address("kernel")
    if not address:
        raise RuntimeError("a compiled kernel has no entry point")
    _engines.append(engine)
    run_at: Run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)
    return run_at
