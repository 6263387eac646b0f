"""The policy file and thresholds to try: what is wrong is said by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.replay.policy import load_policy, parse_thresholds
from lineside.replay.policy import Policy

ROOT = Path(__file__).resolve().parents[3]


def test_what_the_file_leaves_out_keeps_its_default(tmp_path: Path) -> None:
    file = tmp_path / "gate.toml"
    file.write_text("most_escapes = 2\n[least_found_share_by_class]\nscratch = 1.0\n")
    policy = load_policy(file)
    assert policy.most_escapes == 2
    assert policy.found_limit("scratch") == 1.0
    assert policy.found_limit("dent") == Policy().least_found_share


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("most_escape = 1", "names most_escape; the limits are least_records, most_escapes"),
        ("most_escapes = -1", "most_escapes is -1, expected a whole number"),
        ("most_escapes = true", "most_escapes is True"),
        ("least_records = 0", "least_records is 0"),
        ("most_firing_share = 50", "most_firing_share is 50, expected a share from 0 to 1"),
        ("least_overlap = 0", "least_overlap is 0, expected above 0"),
        ('shares = "both"', "shares is 'both'"),
        ("[least_found_share_by_class]\ndent = 'all'", "least_found_share_by_class.dent is 'all'"),
        ("least_found_share_by_class = 1", "expected a table"),
        ("most_firing_share = nan", "most_firing_share is nan"),
        ("no toml", "is not TOML"),
    ],
)
def test_a_wrong_policy_is_refused_with_what_would_be_right(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "gate.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"gate\.toml") as caught:
        load_policy(file)
    assert words in str(caught.value)


def test_the_policy_in_the_documentation_is_the_default(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "replay.md").read_text()
    file = tmp_path / "gate.toml"
    file.write_text(text.split("```toml\n")[1].split("```")[0])
    policy = load_policy(file)
    assert policy.to_json() == Policy().to_json()


def test_thresholds_are_scores_of_known_classes() -> None:
    assert parse_thresholds(["dent=0.6", "a=b=1"], ("dent", "a=b")) == {"dent": 0.6, "a=b": 1.0}
    for text, words in (
        ("dent", "not of the form"),
        ("dint=0.5", "they are dent, scratch"),
        ("dent=high", "above 0"),
        ("dent=0", "above 0"),
    ):
        with pytest.raises(ValueError, match=words):
            parse_thresholds([text], ("dent", "scratch"))
