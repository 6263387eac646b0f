"""Roles, secrets, lock-out, accounts and sessions by themselves: no socket, and the time is an argument."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.panel.access import secret
from edge.panel.access.accounts import Account, Accounts
from edge.panel.access.lockout import FIRST_WAIT, FORGET_AFTER, FREE_PAIR, FREE_WIDE, LONGEST_WAIT, MOST_KEYS, Lockout
from edge.panel.access.roles import Role, role_of
from edge.panel.access.sessions import MOST_SESSIONS, Sessions

PASSWORD = "a long password"


def test_each_role_may_all_that_the_one_before_it_may() -> None:
    assert sorted(Role) == [role_of(word) for word in ("viewer", "operator", "engineer", "admin")]
    with pytest.raises(ValueError, match="'root' is no role; there are viewer, operator, engineer, admin"):
        role_of("root")


@pytest.mark.parametrize(
    ("text", "role", "why"),
    [
        ("123", Role.OPERATOR, "4 digits or more"),
        ("7777", Role.OPERATOR, "tried first"),
        ("2345", Role.VIEWER, "tried first"),
        ("9876", Role.OPERATOR, "tried first"),
        ("4071", Role.ENGINEER, "password of 10 characters"),
        ("short one", Role.ADMIN, "password of 10 characters"),
        ("x" * 129, Role.ADMIN, "at most 128"),
        ("with\nline feed", Role.ADMIN, "printable"),
    ],
)
def test_a_secret_that_is_guessed_first_is_refused_and_says_what_would_do(text: str, role: Role, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        secret.check(text, role)


def test_the_same_pin_is_kept_differently_each_time_and_only_it_matches() -> None:
    secret.check("4071", Role.OPERATOR)
    one, two = secret.hashed("4071"), secret.hashed("4071")
    assert one != two
    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert secret.matches("4071", one)
    assert not secret.matches("4072", one)


def test_five_wrong_ones_cost_a_wait_that_doubles_up_to_a_quarter_of_an_hour() -> None:
    lockout, now, waits = Lockout(), 1000.0, []
    for _ in range(FREE_PAIR + 7):
        lockout.failed("ada", "10.0.0.1", now)
        waits.append(lockout.wait("ada", "10.0.0.1", now))
        now += waits[-1]
    assert waits == [0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900, 900]
    assert max(waits) == LONGEST_WAIT
    assert lockout.wait("ada", "10.0.0.2", now) == 0, "ada at another tablet is not locked out with her"
    assert lockout.wait("grace", "10.0.0.1", now) == 0


def test_guessing_from_many_addresses_or_at_many_names_is_stopped_as_well() -> None:
    lockout = Lockout()
    for number in range(FREE_WIDE):
        lockout.failed("ada", f"10.0.0.{number}", 0.0)
    assert lockout.wait("ada", "10.9.9.9", 0.0) == FIRST_WAIT
    lockout = Lockout()
    for number in range(FREE_WIDE):
        lockout.failed(f"name{number}", "10.0.0.1", 0.0)
    assert lockout.wait("ada", "10.0.0.1", 0.0) == FIRST_WAIT
    lockout.passed("mallory", "10.0.0.1")
    assert lockout.wait("ada", "10.0.0.1", 0.0) == FIRST_WAIT, "his own PIN must not give a guesser new tries"


def test_the_right_one_or_an_hours_rest_begins_anew() -> None:
    lockout = Lockout()
    for _ in range(FREE_PAIR - 1):
        lockout.failed("ada", "a", 0.0)
    lockout.passed("ada", "a")
    lockout.failed("ada", "a", 0.0)
    assert lockout.wait("ada", "a", 0.0) == 0
    for _ in range(FREE_PAIR):
        lockout.failed("ada", "a", 1.0)
    assert lockout.wait("ada", "a", 1.0) > 0
    lockout.failed("ada", "a", FORGET_AFTER + 2.0)
    assert lockout.wait("ada", "a", FORGET_AFTER + 2.0) == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.booleans()), max_size=60))
def test_whatever_is_tried_no_more_than_the_free_tries_ever_pass_without_a_wait(
    tries: list[tuple[str, str, bool]],
) -> None:
    lockout, in_a_row = Lockout(), dict.fromkeys([(n, a) for n in "abc" for a in "xy"], 0)
    for name, address, right in tries:
        if lockout.wait(name, address, 0.0) > 0:
            continue
        lockout.failed(name, address, 0.0)
        in_a_row[name, address] += 1
        if right:
            lockout.passed(name, address)
            in_a_row[name, address] = 0
        assert in_a_row[name, address] <= FREE_PAIR


def test_a_flood_of_names_costs_no_memory() -> None:
    lockout = Lockout()
    for number in range(MOST_KEYS):
        lockout.failed(f"name{number}", f"address{number}", 0.0)
    assert len(lockout._counts) == MOST_KEYS


def test_accounts_are_read_again_when_another_process_changed_them(tmp_path: Path) -> None:
    station, command = Accounts(tmp_path), Accounts(tmp_path)
    assert station.all() == {}
    command.put("ada", Role.OPERATOR, "4071")
    assert station.all()["ada"].role is Role.OPERATOR
    assert stat.S_IMODE(command.path.stat().st_mode) == 0o600
    assert "4071" not in command.path.read_text()
    command.put("ada", Role.VIEWER, "4072")
    assert station.all()["ada"].role is Role.VIEWER
    command.remove("ada")
    assert station.all() == {}
    with pytest.raises(ValueError, match="no account 'ada'; there are none"):
        command.remove("ada")


def test_the_last_admin_can_neither_be_removed_nor_become_less(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path)
    accounts.put("root", Role.ADMIN, PASSWORD)
    with pytest.raises(ValueError, match="last admin"):
        accounts.remove("root")
    with pytest.raises(ValueError, match="last admin"):
        accounts.put("root", Role.OPERATOR, "4071")
    accounts.put("grace", Role.ADMIN, PASSWORD)
    accounts.remove("root")
    assert list(accounts.all()) == ["grace"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"accounts": [{"name": "a"}]}', '{"accounts": [{"name": "", "role": "admin", "secret": ""}]}'],
)
def test_a_damaged_file_of_accounts_lets_nobody_in(tmp_path: Path, text: str) -> None:
    accounts = Accounts(tmp_path)
    accounts.path.write_text(text)
    with pytest.raises(ValueError, match="nobody can log in until it is mended"):
        accounts.all()


@pytest.mark.parametrize("name", ["", " ada", "a" * 65, "a\x00b"])
def test_a_name_that_would_confuse_a_reader_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is no name"):
        Accounts(tmp_path).put(name, Role.OPERATOR, "4071")


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def opened(folder: Path, clock: Clock) -> Sessions:
    return Sessions(folder, hours=8, idle_minutes=30, clock=clock)


ADA = Account(name="ada", role=Role.OPERATOR, kept="$argon2id$1")


def test_a_session_survives_a_restart_and_its_file_holds_no_token(tmp_path: Path) -> None:
    clock = Clock()
    token = opened(tmp_path, clock).begin(ADA)
    assert token not in (tmp_path / "sessions.json").read_text()
    again = opened(tmp_path, clock)
    assert again.find(token, {"ada": ADA}.get) is ADA
    assert again.find(token + "x", {"ada": ADA}.get) is None
    again.end(token)
    assert opened(tmp_path, clock).find(token, {"ada": ADA}.get) is None


def test_a_session_ends_when_idle_when_over_and_when_the_account_changes(tmp_path: Path) -> None:
    clock = Clock()
    sessions = opened(tmp_path, clock)
    token = sessions.begin(ADA)
    for _ in range(15):  # seven and a half hours of work
        clock.now += 29 * 60
        assert sessions.find(token, {"ada": ADA}.get) is ADA
        sessions.active(token)
    clock.now += 31 * 60
    assert sessions.find(token, {"ada": ADA}.get) is None
    viewer = Account(name="wall", role=Role.VIEWER, kept="$")
    screen = sessions.begin(viewer)
    clock.now += 7 * 3600
    assert sessions.find(screen, {"wall": viewer}.get) is viewer
    clock.now += 3600
    assert sessions.find(screen, {"wall": viewer}.get) is None
    for other in (Account(name="ada", role=Role.VIEWER, kept=ADA.kept), Account(name="ada", role=ADA.role, kept="$2")):
        token = sessions.begin(ADA)
        assert sessions.find(token, {"ada": other}.get) is None
    assert sessions.find(sessions.begin(ADA), {}.get) is None


def test_there_are_never_more_sessions_than_the_limit(tmp_path: Path) -> None:
    sessions = opened(tmp_path, Clock())
    first = sessions.begin(ADA)
    for _ in range(MOST_SESSIONS):
        last = sessions.begin(ADA)
    assert sessions.find(first, {"ada": ADA}.get) is None
    assert sessions.find(last, {"ada": ADA}.get) is ADA
    assert len(json.loads((tmp_path / "sessions.json").read_text())["sessions"]) == MOST_SESSIONS
