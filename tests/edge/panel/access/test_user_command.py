"""`lineside station user`: accounts are made on the station, before anybody can log in on its page."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from edge.cli import main
from edge.panel.access import secret
from edge.panel.access.accounts import Accounts
from edge.panel.access.roles import Role


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "station.toml"
    path.write_text(f'[station]\nname = "line-1"\ndata_dir = "{tmp_path / "data"}"\n')
    return path


def said(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_an_account_is_made_listed_and_removed(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said(monkeypatch, "4071\n")
    assert main(["user", "add", str(file), "ada", "--role", "operator"]) == 0
    account = Accounts(file.parent / "data" / "panel").all()["ada"]
    assert account.role is Role.OPERATOR
    assert secret.matches("4071", account.kept)
    assert main(["user", "list", str(file)]) == 0
    assert "operator  ada" in capsys.readouterr().out
    assert main(["user", "remove", str(file), "ada"]) == 0
    assert main(["user", "remove", str(file), "ada"]) == 2
    assert "no account 'ada'" in capsys.readouterr().err


def test_a_weak_secret_is_one_line_and_no_account(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said(monkeypatch, "1234\n")
    assert main(["user", "add", str(file), "root", "--role", "admin"]) == 2
    assert "needs a password of 10 characters" in capsys.readouterr().err
    assert not (file.parent / "data").exists()
