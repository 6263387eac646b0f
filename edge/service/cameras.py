"""A camera's state and counts as a message of the contract."""

from __future__ import annotations

from edge.cameras.contract import CameraState, Pace
from edge.cameras.thread import CameraThread
from lineside.v1 import inspection_pb2

CAMERA_STATES = {
    CameraState.UNSPECIFIED: inspection_pb2.CAMERA_STATE_UNSPECIFIED,
    CameraState.RUNNING: inspection_pb2.CAMERA_STATE_RUNNING,
    CameraState.LOST: inspection_pb2.CAMERA_STATE_LOST,
    CameraState.ENDED: inspection_pb2.CAMERA_STATE_ENDED,
}
_PACES = {
    Pace.STATION: inspection_pb2.CAMERA_PACE_STATION,
    Pace.CAMERA: inspection_pb2.CAMERA_PACE_CAMERA,
    Pace.LINE: inspection_pb2.CAMERA_PACE_LINE,
}


def camera_status(camera: CameraThread) -> inspection_pb2.CameraStatus:
    """What ListCameras says of one camera."""
    counts = camera.counts
    return inspection_pb2.CameraStatus(
        camera=camera.name,
        kind=camera.kind,
        pace=_PACES[camera.pace],
        state=CAMERA_STATES[camera.state],
        message=camera.message,
        frames=counts.frames,
        judged=counts.judged,
        bad=counts.bad,
        missing=counts.missing,
        triggers=counts.triggers,
        opened=counts.opened,
        failed=counts.failed,
        last_unix_ns=counts.last_unix_ns,
    )
