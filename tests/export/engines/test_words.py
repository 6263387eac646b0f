"""What the builder says becomes what to do; what the driver's tool says becomes a GPU."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from export.engines.advice import advice, failure
from lineside.engines.gpu import Gpu, parse_tool

# Out of tensorrt_rtx 1.7, shortened; those of classic TensorRT as its documentation has them.
SAID = [
    ("importNonZero: NonZero plugin creator version 1 was not found in plugin registry.", "size depends"),
    ("In node 3 (importFallbackPluginImporter): UNSUPPORTED_NODE: Plugin not found", "does not know an operation"),
    ("Assertion failed: shiftIsAllZeros(zeroPoint): Non-zero zero point is not supported.", "symmetric signed 8-bit"),
    ("Tactic Selection: no tactics to implement the operation within workspace limit.", "Give more --workspace-mb"),
    ("Error Code 10: Could not find any implementation for node {ForeignNode[a...b]}.", "Give more --workspace-mb"),
    ("Error Code 2: OutOfMemory (Requested size was 4294967296 bytes.)", "Give less --workspace-mb"),
    ("add: ElementWiseOperation SUM must have same input types. But they are of types Float and Half.", "different"),
    ("Dimension mismatch for tensor image and profile 0. At dimension axis 1, profile has min=32", "Look at --batch"),
    ("Dynamic input tensor image is missing dimensions in profile 0.", "Look at --batch"),
    ("cudaError 35: CUDA driver version is insufficient for CUDA runtime version", "no GPU driver"),
    ("something nobody has seen yet", "helps most often"),
]


@pytest.mark.parametrize(("line", "words"), SAID, ids=[line[:24] for line, _ in SAID])
def test_a_line_of_the_builder_leads_to_something_to_do(line: str, words: str) -> None:
    no_gpu = "Error Code 1: Cuda Runtime (cudaError 35: CUDA driver version is insufficient for CUDA runtime version))"
    assert words in advice(["before", line])
    assert words in advice([no_gpu, line]) or "nobody" in line


def test_a_failure_shows_the_last_lines_and_the_way_on() -> None:
    text = failure("tensorrt_rtx 1.7", "built nothing", [f"line {number}" for number in range(20)])
    assert text.startswith("tensorrt_rtx 1.7 built nothing. Its own words:\n")
    assert "line 19" in text
    assert "line 11" not in text
    assert text.endswith("serves on ONNX Runtime meanwhile.")
    assert "it said nothing" in failure("b", "w", [])


DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return flags == 0 ? FAULT : 1; }
int cuDriverGetVersion(int *version) { *version = 12060; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = 7 + ordinal; return 0; }
int cuDeviceGetName(char *name, int room, int device) {
  if (device != 7 || room < 16) return 1;
  strcpy(name, "NVIDIA Orin");
  return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  if (device != 7) return 1;
  *value = attribute == 75 ? 8 : attribute == 76 ? 7 : -1;
  return 0;
}
"""
ASK = """
from lineside.engines.gpu import local_gpu
gpu = local_gpu()
print(gpu and (gpu.name, gpu.capability, gpu.driver))
"""


@pytest.mark.parametrize(("fault", "answer"), [(0, "('NVIDIA Orin', 'SM87', '"), (100, "None")])
def test_the_driver_is_asked_as_its_header_says(tmp_path: Path, fault: int, answer: str) -> None:
    """A library with the functions of cuda.h stands in place of the driver: no GPU is at hand."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    source = tmp_path / "cuda.c"
    source.write_text(DRIVER)
    library = str(tmp_path / "libcuda.so.1")
    subprocess.run([compiler, "-shared", "-fPIC", f"-DFAULT={fault}", str(source), "-o", library], check=True)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "PATH": str(tmp_path)}
    said = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.startswith(answer)
    assert fault or "CUDA 12.6" in said.stdout


@pytest.mark.parametrize(
    ("said", "gpu"),
    [
        (
            "NVIDIA L4, 8.9, 580.65.06\nNVIDIA L4, 8.9, 580.65.06\n",
            Gpu(name="NVIDIA L4", capability="SM89", driver="driver 580.65.06"),
        ),
        (
            "RTX 5000, Ada, 12.0, 595.1\n",
            Gpu(name="RTX 5000, Ada", capability="SM120", driver="driver 595.1"),
        ),
        ("Orin (nvgpu), [N/A], 540.4.0\n", None),
        ("No devices were found\n", None),
        ("", None),
    ],
)
def test_the_drivers_tool_is_read_and_not_believed_where_it_tells_no_capability(said: str, gpu: Gpu | None) -> None:
    assert parse_tool(said) == gpu
