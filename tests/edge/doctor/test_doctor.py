"""The doctor's page: what is in order is said so, what is not is a fault with what to do, nothing ends the look."""

from __future__ import annotations

import datetime
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from support import packages

from edge.backends.opening import BACKENDS
from edge.cameras.basler import BaslerCameraSettings
from edge.cameras.folder import FolderCameraSettings
from edge.cameras.genicam import GenicamCameraSettings
from edge.cameras.stream import RtspCameraSettings
from edge.config import StationConfig, StationSettings, load_config
from edge.data_folder import locked
from edge.doctor import apart, backends, cameras, cli, disk, drivers, examine, keys, ports
from edge.doctor.apart import Seen
from edge.doctor.findings import Finding, State, as_document, as_page
from edge.doctor.ports import Address
from edge.doctor.runtimes import GRAPH
from edge.mentoring.database import LogDatabase
from lineside.client.curve import make_keys
from lineside.engines.gpu import Gpu
from lineside.mentoring_log import DATABASE_NAME

NOW = datetime.datetime(2027, 1, 15, tzinfo=datetime.timezone.utc)
HERE = {name: Seen(name == "onnxruntime-cpu", f"{name}: said so") for name in BACKENDS}

CAMERA = '[[cameras]]\nname = "top"\nkind = "synthetic"\n'
FREE_PORTS = "".join(
    f'[{section}]\nlisten = "{scheme}127.0.0.1:0"\n'
    for section, scheme in (("grpc", ""), ("panel", ""), ("stream", "tcp://"), ("feedback", "tcp://"))
)


def states(found: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.state.value for finding in found}


def config(folder: Path, text: str = "") -> StationConfig:
    file = folder / "station.toml"
    file.write_text(f'[station]\nname = "s"\n{text}')
    return load_config(file)


# The page


def test_the_page_names_faults_with_what_to_do_and_the_document_says_the_same() -> None:
    found = [
        Finding(section="ports", name="grpc", state=State.OK, text="free"),
        Finding(section="ports", name="panel", state=State.FAULT, text="in use", todo="stop it"),
        Finding(section="disk", name="room", state=State.WARNING, text="little " * 30),
    ]
    page = as_page(found, columns=60).splitlines()
    assert page[:5] == [
        "ports",
        "  ok       grpc   free",
        "  fault    panel  in use",
        "                  -> stop it",
        "disk",
    ]
    assert max(map(len, page)) <= 60
    assert page[-1] == "1 fault, 1 warning"
    document = as_document(found)
    assert document["healthy"] is False
    assert document["findings"][1]["state"] == "fault"  # type: ignore[index]
    assert as_page(found[:1]).endswith("the station can run; 0 warnings")


# What is looked at in another process


def test_the_graph_that_is_run_is_the_one_that_it_is_said_to_be() -> None:
    shape = ["N", 4, 4, 1]
    made = helper.make_model(
        helper.make_graph(
            [helper.make_node("Cast", ["image"], ["heat"], to=TensorProto.FLOAT)],
            "d",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
            [helper.make_tensor_value_info("heat", TensorProto.FLOAT, shape)],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
        producer_name="",
    )
    assert onnx.load_from_string(GRAPH) == made


def test_the_real_looks_end_with_an_answer_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Basler's emulated cameras stand for real ones."""
    pytest.importorskip("pypylon", reason="needs pip install 'lineside[basler]'")
    names = ["onnxruntime-cpu", "tensorrt", "basler", "v4l2"]
    seen = apart.look(names, environment={"PYLON_CAMEMU": "2"})
    assert set(seen) == set(names)
    assert seen["onnxruntime-cpu"].works
    assert "ran a graph" in seen["onnxruntime-cpu"].text
    assert seen["basler"].text.count("Emulation") == 2


def test_a_producer_of_the_configuration_is_asked(tmp_path: Path) -> None:
    genicam = pytest.importorskip("genicam", reason="needs pip install 'lineside[genicam]'")
    (producer,) = Path(genicam.__file__).parent.rglob("viky.cti")
    made = config(tmp_path, f'[[cameras]]\nname = "side"\nkind = "genicam"\nproducer = "{producer}"\n')
    seen = apart.look(["genicam"], environment=examine._environment(made))
    assert seen["genicam"].works, seen
    line = cameras.findings(made.cameras, {**dict.fromkeys(drivers.LOOKS, seen["genicam"])})[-1]
    assert (line.name, line.state) == ("side", State.OK)


FAKE = """
import json, os, sys, time
for name in sys.argv[1:]:
    if name == "crash": os.kill(os.getpid(), 11)
    if name == "hang": time.sleep(600)
    if name == "leave": sys.exit(3)
    print("noise"); print(json.dumps([name, True, "fine"]), flush=True)
"""


@pytest.mark.parametrize(
    ("culprit", "words"),
    [("crash", "crashed (SIGSEGV)"), ("hang", "did not answer within 3 s"), ("leave", "crashed (exit code 3)")],
)
def test_a_driver_that_crashes_or_hangs_is_a_finding_and_the_others_are_looked_at(culprit: str, words: str) -> None:
    seen = apart.look(["a", culprit, "b"], seconds=3, command=(sys.executable, "-S", "-c", FAKE))
    assert seen == {"a": (True, "fine"), culprit: (False, f"its driver {words}"), "b": (True, "fine")}


# Backends


def test_what_was_asked_for_and_does_not_work_is_a_fault_with_what_does() -> None:
    found = backends.findings("onnxruntime-cuda", HERE)
    assert states(found) == {
        "onnxruntime-cpu": "ok",
        "onnxruntime-cuda": "fault",
        "onnxruntime-tensorrt": "off",
        "tensorrt": "off",
        "would be used": "fault",
    }
    assert 'backend = "onnxruntime-cpu"' in found[-1].todo
    assert found[0].text == "said so"


def test_auto_uses_the_fastest_that_works_and_says_what_serves_while_there_is_no_engine() -> None:
    assert backends.findings("auto", HERE)[-1].text == "onnxruntime-cpu (auto)"
    all_work = {name: Seen(True, "") for name in BACKENDS}
    text = backends.findings("auto", all_work)[-1].text
    assert text == "tensorrt (auto); onnxruntime-cuda while a model has no engine"


def test_whether_the_serving_models_engine_is_there_is_told_and_matters_where_it_was_asked_for() -> None:
    asked = {"model": "boards 1.0.0", "graph_sha256": "0" * 64, "runtime": "tensorrt_rtx 1.7"}
    gpu = Gpu(name="a GPU", capability="SM89", driver="driver 580")
    for backend, state in (("tensorrt", State.WARNING), ("auto", State.WARNING), ("onnxruntime-cpu", State.OFF)):
        found = backends.engine_finding(backend, (), gpu=gpu, **asked)
        assert (found.state, found.text) == (state, "boards 1.0.0 has none: no engine was built here yet")


# Cameras


def test_a_camera_that_its_driver_does_not_see_is_a_fault_and_one_it_sees_is_not(tmp_path: Path) -> None:
    seen = {
        "basler": Seen(True, "40012345 (acA1300)"),
        "genicam": Seen(False, "no GenTL producer"),
        "aravis": Seen(False, "not installed"),
        "v4l2": Seen(True, "none seen"),
    }
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"rtsp://user:secret@127.0.0.1:{server.getsockname()[1]}/stream"
        found = cameras.findings(
            (
                BaslerCameraSettings(name="right", kind="basler", serial="40012345"),
                BaslerCameraSettings(name="wrong", kind="basler", serial="7"),
                GenicamCameraSettings(name="driverless", kind="genicam"),
                FolderCameraSettings(name="here", kind="folder", folder=tmp_path),
                FolderCameraSettings(name="gone", kind="folder", folder=tmp_path / "gone"),
                RtspCameraSettings(name="door", kind="rtsp", url=url),
                RtspCameraSettings(name="shut", kind="rtsp", url="rtsp://user:secret@127.0.0.1:1/stream"),
            ),
            seen,
        )
    assert states(found) == {
        "basler": "ok",
        "genicam": "fault",
        "aravis": "off",
        "v4l2": "ok",
        "right": "ok",
        "wrong": "fault",
        "driverless": "fault",
        "here": "ok",
        "gone": "fault",
        "door": "ok",
        "shut": "fault",
    }
    assert "secret" not in as_page(found)


# Ports


def test_a_port_that_another_program_has_is_a_fault_unless_this_station_runs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = Address("grpc", f"127.0.0.1:{server.getsockname()[1]}", False)
        fault = ports.finding(taken, running=False)
        assert (fault.state, "ss -ltnp" in fault.todo) == (State.FAULT, True)
        assert ports.finding(taken, running=True).state is State.OK
    assert ports.finding(taken, running=False).state is State.OK


@pytest.mark.parametrize(
    ("listen", "protected", "state"),
    [
        ("0.0.0.0:0", False, State.WARNING),
        ("0.0.0.0:0", True, State.OK),
        ("*:0", False, State.WARNING),
        ("[::1]:0", False, State.OK),
        ("192.0.2.1:50051", False, State.FAULT),
        ("unix:/nowhere/at/all/grpc.sock", False, State.FAULT),
    ],
)
def test_an_address_is_judged_by_who_could_reach_it(listen: str, protected: bool, state: State) -> None:
    if listen.startswith("[") and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    assert ports.finding(Address("grpc", listen, protected), running=False).state is state


def test_every_part_that_listens_is_looked_at(tmp_path: Path) -> None:
    text = f'[metrics]\nlisten = "127.0.0.1:0"\n[outputs.modbus]\n[outputs.opcua]\n[panel]\nenabled = false\n{CAMERA}'
    made = config(tmp_path, text)
    assert [address.name for address in ports.addresses(made)] == [
        "grpc",
        "stream",
        "feedback",
        "metrics",
        "modbus",
        "opcua",
    ]


# Keys


def certificate(folder: Path, begin: datetime.datetime, end: datetime.datetime) -> tuple[Path, Path]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "line-1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "panel.pem", folder / "panel.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    paths[1].chmod(0o600)
    return paths


@pytest.mark.parametrize(
    ("begin", "end", "state", "word"),
    [
        (-10, 100, "ok", "valid until"),
        (-10, 20, "warning", "ends on"),
        (-10, -1, "fault", "ended on"),
        (1, 100, "fault", "begins on"),
    ],
)
def test_a_certificate_is_judged_by_its_days(tmp_path: Path, begin: int, end: int, state: str, word: str) -> None:
    day = datetime.timedelta(days=1)
    certificate(tmp_path, NOW + begin * day, NOW + end * day)
    made = config(tmp_path, '[panel]\ntls_certificate = "panel.pem"\ntls_key = "panel.key"\n')
    pair, dates, secret, _ = keys.findings(made, NOW)
    assert (pair.state, secret.state) == (State.OK, State.OK)
    assert (dates.state.value, word in dates.text) == (state, True)


def test_a_key_of_another_certificate_and_a_secret_that_all_may_read_are_told(tmp_path: Path) -> None:
    day = datetime.timedelta(days=1)
    _, key = certificate(tmp_path, NOW - day, NOW + 100 * day)
    other = tmp_path / "other"
    other.mkdir()
    _, wrong = certificate(other, NOW - day, NOW + 100 * day)
    key.write_bytes(wrong.read_bytes())
    key.chmod(0o644)
    made = config(tmp_path, '[panel]\ntls_certificate = "panel.pem"\ntls_key = "panel.key"\n')
    pair, _, secret, _ = keys.findings(made, NOW)
    assert (pair.state, "do not go together" in pair.text) == (State.FAULT, True)
    assert (secret.state, secret.todo) == (State.WARNING, f"chmod 600 {key}")


def test_signers_and_curve_keys_are_read(tmp_path: Path) -> None:
    packages.make_key(tmp_path)
    make_keys(tmp_path, "line-1")
    operators = tmp_path / "operators"
    operators.mkdir()
    text = (
        '[curve]\nsecret_key = "line-1.key_secret"\nclients = "operators"\n'
        '[models]\ntrusted_keys = ["signer.pub", "line-1.key", "gone.pub"]\n'
    )
    found = keys.findings(config(tmp_path, text), NOW)
    assert [(item.name, item.state.value) for item in found] == [
        ("signer", "ok"),
        ("signer", "fault"),
        ("signer", "fault"),
        ("curve", "ok"),
        ("operators", "warning"),
    ]
    (tmp_path / "line-1.key_secret").unlink()
    assert states(keys.findings(config(tmp_path, text), NOW))["curve"] == "fault"


# Disk, clock, log


def test_a_data_folder_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (Path("/proc/nothing"), tmp_path / "file"):
        made = StationConfig(station=StationSettings(name="s", data_dir=folder))
        (found,) = disk.disk_findings(made)
        assert (found.name, found.state) == ("data folder", State.FAULT)


def test_room_is_judged_by_what_the_log_needs(tmp_path: Path) -> None:
    fine = config(tmp_path, "[mentoring]\nbudget_gb = 0.001\nkeep_free_mb = 0\nreserve_mb = 1\n")
    assert states(disk.disk_findings(fine))["room"] == "ok"
    greedy = config(tmp_path, "[mentoring]\nbudget_gb = 1e9\n")
    assert states(disk.disk_findings(greedy))["room"] == "warning"
    full = config(tmp_path, "[mentoring]\nkeep_free_mb = 1000000000\n")
    assert states(disk.disk_findings(full))["room"] == "fault"


@pytest.mark.parametrize(
    ("kind", "state"), [("ext4", "ok"), ("nfs4", "fault"), ("tmpfs", "fault"), ("overlay", "warning"), ("", "ok")]
)
def test_a_disk_that_forgets_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, state: str) -> None:
    monkeypatch.setattr(disk, "_filesystem", lambda folder: kind)
    assert states(disk.disk_findings(config(tmp_path)))["file system"] == state


def test_the_kind_of_a_file_system_is_the_innermost_mounts() -> None:
    assert disk._filesystem(Path("/proc/self")) == "proc"


def empty(file: Path) -> None:
    file.write_bytes(b"")


def scribbled(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[4096:8192] = b"\xff" * 4096
    file.write_bytes(raw)


@pytest.mark.parametrize("spoil", [empty, scribbled])
def test_a_log_that_is_damaged_is_told_from_one_that_is_whole(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    made = config(tmp_path)
    assert disk.log_findings(made)[0].text.startswith("none yet")
    made.mentoring_root.mkdir(parents=True)
    LogDatabase(made.mentoring_root).close()
    (whole,) = disk.log_findings(made)
    assert (whole.state, "0 frames and 0 answers" in whole.text) == (State.OK, True)
    spoil(made.mentoring_root / DATABASE_NAME)
    assert disk.log_findings(made)[0].state is State.FAULT


def test_a_log_that_is_being_written_can_be_looked_at(tmp_path: Path) -> None:
    made = config(tmp_path)
    made.mentoring_root.mkdir(parents=True)
    database = LogDatabase(made.mentoring_root)
    try:
        assert disk.log_findings(made)[0].state is State.OK
    finally:
        database.close()


def test_a_clock_that_was_never_set_or_was_set_back_is_a_fault(tmp_path: Path) -> None:
    made = config(tmp_path)
    now = time.time()
    assert disk.clock_findings(made, 0.0)[0].state is State.FAULT
    assert disk.clock_findings(made, now)[0].state is not State.FAULT
    journal = made.station.data_dir / "models" / "journal.json"
    journal.parent.mkdir(parents=True)
    journal.touch()
    os.utime(journal, (now + 7200, now + 7200))
    (found,) = disk.clock_findings(made, now)
    assert (found.state, "2.0 h before" in found.text) == (State.FAULT, True)


# The whole


def test_the_command_gives_a_page_a_document_and_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def seen(names: list[str], environment: object) -> dict[str, Seen]:
        return {name: HERE.get(name, Seen(True, "none seen")) for name in names}

    monkeypatch.setattr(examine.examine, "__kwdefaults__", {"look_apart": seen})
    config(tmp_path, FREE_PORTS)
    file = str(tmp_path / "station.toml")
    assert cli.main([file]) == 0
    page = capsys.readouterr().out
    assert "would be used" in page
    assert len(page.splitlines()) < 60
    with locked(tmp_path / "data"):
        assert cli.main([file, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["healthy"]
    assert document["findings"][0]["text"].endswith("station.toml is right; it runs now")
    sections = list(dict.fromkeys(item["section"] for item in document["findings"]))
    assert sections == ["station", "backends", "cameras", "ports", "keys", "disk", "clock", "log"]
    config(tmp_path, '[models]\nbackend = "tensorrt"\n')
    assert cli.main([file]) == 1
    assert "none: tensorrt does not work" in " ".join(capsys.readouterr().out.split())
    (tmp_path / "station.toml").write_text("[station]\nname = 's'\nnames = 1\n")
    assert cli.main([file]) == 1
    assert "unknown key" in " ".join(capsys.readouterr().out.split())  # a long path breaks the line


def test_an_output_whose_library_or_file_is_missing_is_a_fault(tmp_path: Path) -> None:
    text = f'[outputs.mqtt]\nhost = "127.0.0.1"\npassword_file = "gone"\nusername = "u"\n{CAMERA}'
    made = config(tmp_path, text)
    (found,) = examine._outputs(made)
    assert found.state is State.FAULT
