"""From LLVM text to machine code, kept on disk, and run by all threads."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm  # type: ignore[import-untyped]
import torch

# Machine code: raise it when what surrounds the text changes, such as the options below.
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


def vector_bytes() -> int:
    """Give the size of a vector register."""
    _, features = processor()
    if "avx512f" in features:
        return 64
    return 32 if "avx2" in features else 16


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


def run(kernel: Run, arguments: list[int], threads: int) -> None:
    """Run a kernel on several threads; ``arguments`` without the counter, which comes first.

    The caller's thread takes units too, so nothing waits for a helper that is late to start.
    """
    counter = ctypes.c_int64(0)
    packed = (ctypes.c_int64 * (len(arguments) + 1))(ctypes.addressof(counter), *arguments)
    address = ctypes.addressof(packed)
    helpers = [_helpers().submit(kernel, address) for _ in range(threads - 1)]
    kernel(address)
    for helper in helpers:
        if not helper.cancel():
            _result(helper)


def _result(helper: Future[None]) -> None:
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
    parts = (str(FORMAT), llvmlite.__version__, str(torch.__version__), name, ",".join(sorted(features)), text)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _read(key: str) -> bytes | None:
    """Give machine code from disk, unless it is absent or damaged."""
    try:
        content = (cache_folder() / f"{key}.o").read_bytes()
    except OSError:
        return None
    digest, code = content[:32], content[32:]
    return code if hashlib.sha256(code).digest() == digest else None


def _write(key: str, text: str, code: bytes) -> None:
    """Keep machine code on disk, whole or not at all; a read-only disk costs only time."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for suffix, content in (("ll", text.encode()), ("o", hashlib.sha256(code).digest() + code)):
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".new-", delete=False) as file:
                file.write(content)
            Path(file.name).replace(folder / f"{key}.{suffix}")
    except OSError:
        return


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
