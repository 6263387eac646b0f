"""What a run learns from: checked, held out, prepared, and named."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Sequence

from training.checkpoint import Checkpoint, Lineage
from training.config import TrainConfig
from training.data.agreed import with_agreed_boxes
from training.data.batches import Sampler
from training.data.camera import Camera, fit_camera
from training.data.doubled import without_doubled
from training.data.held_out import hold_out
from training.data.leaks import Seen, seen_in
from training.data.mentoring import MentoringData
from training.data.omnia import with_confident_background
from training.data.prepared import Prepared, annotate_all
from training.data.sample import Dataset
from training.data.surroundings import with_surroundings
from training.progress import OnProgress, Progress

logger = logging.getLogger(__name__)


class NothingToLearnError(ValueError):
    """The recipe needs a parent, feedback or pictures that were not given."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Material:
    """Both domains as a run takes them.

    Raises:
        NothingToLearnError: the recipe needs something that was not given.
        ValueError: what was given is of other classes, or the parent's network is another one.
    """

    config: TrainConfig
    original: Dataset
    """What is trained on, without what is held out."""
    watched: Dataset | None
    """Original parts held out; None: there is no floor."""
    new: MentoringData | Dataset | None
    parent: Checkpoint | None

    def __post_init__(self) -> None:
        config, parent, new = self.config, self.parent, self.new
        if self.original.classes != config.detector.classes:
            raise ValueError(f"the data's classes are {self.original.classes}, the network's {config.detector.classes}")
        if config.needs_parent and parent is None:
            raise NothingToLearnError(f"recipe {config.recipe} starts from a parent; name its checkpoint with --parent")
        if parent is not None and config.needs_parent and parent.metadata.config != config.detector:
            raise ValueError("the parent's network is another one than the recipe's; take the parent's config over")
        if config.new_labels == "mentored" and not isinstance(new, MentoringData):
            raise NothingToLearnError(f"recipe {config.recipe} learns from feedback; name a mentoring log with --log")
        if config.new_labels == "full" and not isinstance(new, Dataset):
            raise NothingToLearnError(
                f"recipe {config.recipe} learns from a fully annotated new domain; none was given"
            )
        if config.camera and new is None:
            raise NothingToLearnError(
                f"recipe {config.recipe} measures the new domain's camera; give pictures of the new domain"
            )
        if isinstance(new, MentoringData) and not new.frames and config.new_labels == "mentored":
            why = "; ".join(new.skipped) or "nobody has answered yet"
            raise NothingToLearnError(f"the mentoring log teaches nothing: {why}")

    @classmethod
    def of(
        cls,
        config: TrainConfig,
        original: Dataset,
        new: MentoringData | Dataset | None,
        parent: Checkpoint | None,
    ) -> Material:
        """The material of a run; where its config has a floor, original parts are held out to be watched."""
        watched: Dataset | None = None
        if config.floor is not None:
            original, watched = hold_out(original, config.floor.share)
        return cls(config=config, original=original, watched=watched, new=new, parent=parent)

    def sampler(self, report: OnProgress) -> Sampler:
        """Prepares all pictures and draws batches of them; `report` hears of every fiftieth picture and the last."""
        config, new, parent = self.config, self.new, self.parent
        done = 0
        total = len(self.original) + (len(new) if isinstance(new, Dataset) else 0)

        def one_more() -> None:
            nonlocal done
            done += 1
            if done % 50 == 0 or done == total:
                report(Progress(stage="pictures", done=done, total=total))

        old_items = annotate_all(self.original, config.detector, one_more)
        new_items: Sequence[Prepared] = ()
        if config.new_labels == "mentored" and isinstance(new, MentoringData):
            new_items = new.frames
            if config.best_boxes:
                new_items = without_doubled(new_items)
            if config.agreed_boxes:
                new_items = with_agreed_boxes(new_items)
            if config.surroundings:
                head = config.detector.head_for(config.detector.width, config.detector.height)
                new_items = with_surroundings(new_items, head)
            if config.omnia and parent is not None:
                new_items = with_confident_background(new_items, parent.detector, below=config.omnia)
        elif config.new_labels == "full" and isinstance(new, Dataset):
            new_items = annotate_all(new, config.detector, one_more)
        camera: Camera | None = None
        if config.camera:
            # Labels are not looked at: pictures of the new domain are enough.
            seen = new_items or (annotate_all(new, config.detector, one_more) if isinstance(new, Dataset) else ())
            camera = fit_camera(old_items, seen)
            logger.info("the new domain's camera: %s", camera)
        return Sampler(
            config.detector,
            old_items,
            new_items,
            size=config.batch,
            seed=config.seed,
            crop=config.crop,
            augment=config.augment,
            healthy_share=config.healthy_share,
            healthy_new=config.healthy_new,
            balanced=config.balanced,
            camera=camera,
            camera_share=config.camera,
        )

    def lineage(self, parent_digest: str) -> Lineage:
        """Where the weights will come from."""
        known = self.new if isinstance(self.new, MentoringData) and self.config.new_labels == "mentored" else None
        return Lineage(
            parent_digest=parent_digest,
            data_digest=self.original.digest(),
            mentoring_digest=known.digest if known else "",
            feedback_events=known.feedback_events if known else 0,
            last_log_sequence=known.last_log_sequence if known else 0,
            seed=self.config.seed,
            account=known.account.to_json() if known else {},
            seen=self._seen().to_json(),
        )

    def _seen(self) -> Seen:
        """Pictures and parts that are taught."""
        seen = seen_in(self.original)
        if isinstance(self.new, MentoringData) and self.config.new_labels == "mentored":
            return seen.joined(self.new.seen)
        if isinstance(self.new, Dataset) and self.config.new_labels == "full":
            return seen.joined(seen_in(self.new))
        return seen

    def fingerprint(self) -> str:
        """Equal for runs that a saved state may be carried over between: the same configuration, data and parent."""
        names = [sample.name for sample in self.original]
        lessons = self.new.digest if isinstance(self.new, MentoringData) else [item.name for item in self.new or ()]
        text = json.dumps([self.config.to_json(), names, lessons], sort_keys=True)
        whole = hashlib.sha256(text.encode())
        if self.parent is not None:
            for name, value in self.parent.detector.state_dict().items():
                whole.update(name.encode())
                whole.update(value.detach().cpu().contiguous().numpy().tobytes())
        return whole.hexdigest()
