"""Networks: a small backbone, two heads, one `Detector`."""

from training.models.config import BackboneConfig, DetectorConfig
from training.models.detector import Detector, RawOutput

__all__ = ["BackboneConfig", "Detector", "DetectorConfig", "RawOutput"]
