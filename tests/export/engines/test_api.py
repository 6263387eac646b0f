"""What is called of TensorRT exists in classic `tensorrt` too, with the same parameters.

Classic TensorRT needs its GPU to run, but its Python bindings are a small wheel of their own (tensorrt_cu13_bindings).
They are loaded here with empty libraries in place of the engine's, made by the C compiler: nothing can be called, and
every class and signature can be looked at. LINESIDE_TENSORRT_BINDINGS names a folder with the bindings of another
version (an unpacked wheel), for example the one of a Jetson.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCES = (
    ROOT / "proto" / "lineside" / "engines" / "tensorrt_api.py",
    ROOT / "export" / "engines" / "compile.py",
    ROOT / "edge" / "backends" / "tensorrt_engine.py",
)

# Class, then what is called or read of it.
BOTH: dict[str, tuple[str, ...]] = {
    "Builder": (
        "create_network",
        "create_builder_config",
        "create_optimization_profile",
        "build_serialized_network",
    ),
    "IBuilderConfig": (
        "set_memory_pool_limit",
        "profiling_verbosity",
        "progress_monitor",
        "create_timing_cache",
        "set_timing_cache",
        "get_timing_cache",
        "add_optimization_profile",
    ),
    "ITimingCache": ("serialize",),
    "IOptimizationProfile": ("set_shape",),
    "OnnxParser": ("parse",),
    "IProgressMonitor": ("phase_start", "step_complete", "phase_finish"),
    "ILogger": ("log", "INTERNAL_ERROR", "ERROR", "WARNING"),
    "Runtime": ("deserialize_cuda_engine",),
    "ICudaEngine": (
        "create_engine_inspector",
        "create_execution_context",
        "num_io_tensors",
        "get_tensor_name",
        "get_tensor_shape",
        "get_tensor_dtype",
        "get_tensor_mode",
        "get_tensor_profile_shape",
        "num_optimization_profiles",
    ),
    "IExecutionContext": (
        "set_optimization_profile_async",
        "set_input_shape",
        "set_tensor_address",
        "execute_async_v3",
    ),
    "DataType": ("FLOAT", "INT32", "UINT8"),
    "TensorIOMode": ("INPUT", "OUTPUT"),
    "EngineInspector": ("get_engine_information",),
    "LayerInformationFormat": ("JSON",),
    "MemoryPoolType": ("WORKSPACE",),
    "NetworkDefinitionCreationFlag": ("STRONGLY_TYPED",),
    "ProfilingVerbosity": ("DETAILED",),
}
RTX_ALONE: dict[str, tuple[str, ...]] = {
    "ComputeCapability": ("SM75", "SM80", "SM86", "SM89", "SM120"),
    "EngineValidity": ("INVALID",),
    "EngineInvalidityDiagnostics": ("MALFORMED_ENGINE", "VERSION_MISMATCH"),
    "IBuilderConfig": ("num_compute_capabilities", "set_compute_capability"),
    "Runtime": ("get_engine_validity",),
    "IRuntimeConfig": ("create_runtime_cache", "set_runtime_cache", "cuda_graph_strategy"),
    "IRuntimeCache": ("serialize", "deserialize"),
    "CudaGraphStrategy": ("WHOLE_GRAPH_CAPTURE",),
    "ICudaEngine": ("create_runtime_config",),
}

# Prints, for a module and a table as above: {class: {member: docstring}}, without what is missing.
DESCRIBE = """
import importlib, json, os, sys
sys.setdlopenflags(os.RTLD_LAZY | os.RTLD_GLOBAL)
sys.path.insert(0, sys.argv[3])
module, table = importlib.import_module(sys.argv[1]), json.loads(sys.argv[2])
print(json.dumps({"version": module.__version__, "classes": {
    name: {member: str(getattr(getattr(module, name), member).__doc__) for member in members
           if hasattr(getattr(module, name), member)}
    for name, members in table.items() if hasattr(module, name)}}))
"""
NEEDED = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)


def describe(
    module: str, table: dict[str, tuple[str, ...]], *, folder: str = "", libraries: str = ""
) -> dict[str, dict]:  # type: ignore[type-arg]
    environment = {**os.environ, "LD_LIBRARY_PATH": libraries} if libraries else None
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DESCRIBE, module, json.dumps(table), folder],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    sys.stdout.write(f"{module} {found['version']}\n")
    return dict(found["classes"])


@pytest.fixture(scope="module")
def rtx() -> dict[str, dict[str, str]]:
    pytest.importorskip("tensorrt_rtx", reason="needs pip install 'lineside[tensorrt-rtx]'")
    table = {name: BOTH.get(name, ()) + RTX_ALONE.get(name, ()) for name in BOTH | RTX_ALONE}
    return describe("tensorrt_rtx", table)


@pytest.fixture(scope="module")
def classic(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    folder = os.environ.get("LINESIDE_TENSORRT_BINDINGS", "")
    if not folder and importlib.util.find_spec("tensorrt_bindings") is None:
        pytest.skip("needs the wheel tensorrt_cu13_bindings (pip install 'lineside[dev]'; Linux on x86-64)")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler, for empty libraries in place of TensorRT's")
    libraries = tmp_path_factory.mktemp("libraries")
    source = libraries / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in NEEDED))
    subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(libraries / "empty.so")], check=True)
    for name in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
        for version in (10, 11):
            (libraries / f"lib{name}.so.{version}").symlink_to("empty.so")
    table = {name: BOTH.get(name, ()) + RTX_ALONE.get(name, ()) for name in BOTH | RTX_ALONE}
    return describe("tensorrt_bindings", table, folder=folder, libraries=str(libraries))


def parameters(docstring: str, name: str) -> set[tuple[str, ...]]:
    """The names of the parameters of each overload, as pybind11 writes them into the docstring."""
    found = re.findall(rf"{name}\(self: [\w.]+(.*?)\) ->", docstring)
    return {tuple(re.findall(r", (\w+): ", arguments)) for arguments in found}


def test_the_tables_name_all_that_the_program_uses_of_the_module() -> None:
    used = {match for source in SOURCES for match in re.findall(r"\b(?:trt|module)\.([A-Z]\w+)", source.read_text())}
    assert used
    assert used <= set(BOTH) | set(RTX_ALONE)


def test_tensorrt_rtx_has_all_of_it(rtx: dict[str, dict[str, str]]) -> None:
    for table in (BOTH, RTX_ALONE):
        for name, members in table.items():
            assert set(members) <= set(rtx[name]), name


@pytest.mark.parametrize("name", sorted(BOTH))
def test_classic_tensorrt_has_what_both_are_said_to_have_with_the_same_parameters(
    rtx: dict[str, dict[str, str]], classic: dict[str, dict[str, str]], name: str
) -> None:
    assert set(BOTH[name]) <= set(classic[name])
    for member in BOTH[name]:
        here, there = (parameters(described[name][member], member) for described in (rtx, classic))
        assert here & there or not here, f"{name}.{member}: {here} against {there}"


def test_what_tells_the_two_apart_is_in_rtx_alone(classic: dict[str, dict[str, str]]) -> None:
    assert "ComputeCapability" not in classic
    assert "get_engine_validity" not in classic["Runtime"]
