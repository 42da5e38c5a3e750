"""``psc init | card | trust | partners | version``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from psc.node.home import Home
from psc.node.identity import fingerprint

from .conftest import Psc


def test_two_homes_exchange_cards_with_commands_alone(psc: Psc, tmp_path: Path) -> None:
    made = psc("init --home m --name merchant --json").json()
    assert made.keys() == {"home", "name", "identity", "fingerprint", "listen", "address"}
    assert made["home"] == str(tmp_path / "m")
    assert psc("init --home c --name courier --address courier.example:7443 --language zh --region HK").code == 0
    assert 'language = "zh"' in (tmp_path / "c" / "node.toml").read_text(encoding="utf-8")
    for one in ("m", "c"):
        assert psc(f"card --home {one} --output {one}.card").code == 0
    pinned = psc("trust c.card --home m --json").json()
    assert (pinned["change"], pinned["name"], pinned["address"]) == ("new", "courier", "courier.example:7443")
    assert psc("trust c.card --home m --json").json()["change"] == "unchanged"
    shown = psc("trust m.card --home c").out
    assert made["fingerprint"] in shown
    assert "telephone" in shown
    [known] = psc("partners --home c --json").json()["partners"]
    assert known["identity"] == made["identity"]
    assert made["fingerprint"] in psc("partners --home c").out


def test_the_card_on_stdout_is_the_card_file(psc: Psc, homes: tuple[Home, Home], tmp_path: Path) -> None:
    assert psc("card --home m --output m.card").code == 0
    assert psc("card --home m").out == (tmp_path / "m.card").read_text(encoding="utf-8")
    assert psc("card --home m --json").json()["card"]["name"] == "merchant"


def test_a_rotated_card_is_vouched_for(psc: Psc, homes: tuple[Home, Home]) -> None:
    before = psc("card --home c --json").json()["card"]["identity"]
    done = psc("card --home c --rotate --output new.card")
    assert done.code == 0
    assert "trust" in done.err
    assert psc("card --home c --json").json()["card"]["previous_identity"] == before
    pinned = psc("trust new.card --home m --json").json()
    assert (pinned["change"], pinned["earlier_identities"]) == ("rotated", [before])


def test_an_unvouched_identity_is_refused(psc: Psc, homes: tuple[Home, Home], tmp_path: Path) -> None:
    with Home.create(tmp_path / "other", "courier"):
        pass
    assert psc("card --home other --output other.card").code == 0
    error = psc("trust other.card --home m --json").error()
    assert (error["code"], error["exit_code"]) == ("node.identity-changed", 6)
    pinned, new = homes[1].identity.public, json.loads((tmp_path / "other.card").read_text(encoding="utf-8"))["card"]["identity"]
    assert error["fields"] == {"name": "courier", "pinned": fingerprint(pinned), "identity": fingerprint(new)}
    assert fingerprint(pinned) in error["message"]
    assert fingerprint(new) in error["message"]


def test_only_a_card_with_the_fingerprint_that_was_told_is_pinned(psc: Psc, tmp_path: Path) -> None:
    told = psc("init --home c --name courier --json").json()["fingerprint"]
    psc("init --home m --name merchant")
    psc("card --home c --output c.card")
    error = psc("trust", "c.card", "--home", "m", "--fingerprint", "0000" + told[4:], "--json").error()
    assert (error["code"], error["exit_code"]) == ("node.card-fingerprint-other", 6)
    assert error["fields"] == {"name": "courier", "fingerprint": told, "expected": "0000" + told[4:]}
    assert psc("trust", "c.card", "--home", "m", "--fingerprint", told[:-1], "--json").code == 6  # the whole of it
    assert psc("trust", "c.card", "--home", "m", "--fingerprint", "", "--json").code == 6
    assert psc("partners --home m --json").json() == {"partners": []}
    typed = told.replace(" ", "").upper()
    done = psc("trust", "c.card", "--home", "m", "--fingerprint", f" {typed[:8]}  {typed[8:]}")
    assert done.code == 0
    assert "telephone" not in done.out
    assert psc("trust", "c.card", "--home", "m", "--fingerprint", told, "--json").json()["change"] == "unchanged"


def test_a_node_without_an_address_does_not_say_that_it_can_be_reached(psc: Psc) -> None:
    shown = psc("init --home m --name merchant").out
    assert "cannot reach this node" in shown
    assert "7443" not in shown
    shown = psc("init --home c --name courier --address courier.example:7443").out
    assert "cannot reach" not in shown
    assert "0.0.0.0:7443" in shown


def test_nothing_known_is_said_in_words(psc: Psc) -> None:
    psc("init --home m --name merchant")
    assert "known: none yet." in psc("match nobody/x --home m --input x.csv --key a --purpose p").err
    assert psc("dataset show x --home m --json").error()["fields"] == {"name": "x", "known": ""}


@pytest.mark.parametrize(
    ("line", "code", "exit_code"),
    [
        ("init --home m --name x", "node.home-exists", 2),
        ("init --home n --name 'a b'", "node.name-wrong", 2),
        ("init --home n --name x --listen nowhere", "node.setting-wrong", 2),
        ("init --home n --name x --address https://x:1", "node.setting-wrong", 2),
        ("init --home n --name x --region china", "node.setting-wrong", 2),
        ("init --home n --name x --language fr", "node.setting-wrong", 2),
        ("trust missing.card --home m", "node.card-file-missing", 2),
        ("trust junk --home m", "node.card-not-json", 2),
        ("trust c.card --home c", "node.card-file-missing", 2),
        ("card --home m --output junk", "cli.output-exists", 2),
        ("card --home m --output .", "data.output-is-folder", 2),
        ("card --home m --output no/such/folder.card", "data.output-folder-missing", 2),
        ("card --home m --rotate --output junk", "cli.output-exists", 2),
        ("partners --home nowhere", "node.home-missing", 2),
    ],
)
def test_bad_input_has_its_code(psc: Psc, homes: tuple[Home, Home], tmp_path: Path, line: str, code: str, exit_code: int) -> None:
    (tmp_path / "junk").write_text("junk", encoding="utf-8")
    before = homes[0].identity.public
    error = psc(line + " --json").error()
    assert (error["code"], error["exit_code"]) == (code, exit_code)
    assert f"[{code}]" in psc(line).err
    assert not (tmp_path / "n").exists()
    assert (tmp_path / "junk").read_text(encoding="utf-8") == "junk"
    assert homes[0].identity.public == before


def test_force_replaces_a_file(psc: Psc, homes: tuple[Home, Home], tmp_path: Path) -> None:
    (tmp_path / "m.card").write_text("junk", encoding="utf-8")
    assert psc("card --home m --output m.card --force").code == 0
    assert json.loads((tmp_path / "m.card").read_text(encoding="utf-8"))["card"]["name"] == "merchant"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_home_open_to_others_is_refused(psc: Psc, homes: tuple[Home, Home], tmp_path: Path) -> None:
    (tmp_path / "m").chmod(0o755)
    error = psc("partners --home m --json").error()
    assert (error["code"], error["exit_code"]) == ("node.permissions-wide", 9)


def test_version_names_everything_that_two_nodes_compare(psc: Psc) -> None:
    found = psc("version --json").json()
    assert found.keys() == {"version", "series", "protocols", "rules", "number_metadata", "python", "platform"}
    ours = {"dh-psi", "dh-psi-count", "dh-sum", "owner-sum", "vole-psi", "vole-sum"}
    assert {entry["id"] for entry in found["protocols"]} == ours
    assert found["version"] in psc("version").out
    assert psc("--version").out == psc("version").out
    assert psc("--version --json").json() == found


def test_a_card_on_a_terminal_says_how_to_get_a_file(psc: Psc, homes: tuple[Home, Home], monkeypatch: pytest.MonkeyPatch) -> None:
    for line in ("card --home m", "card --home m --rotate"):
        assert "--output" not in psc(line).err
    monkeypatch.setattr("psc.cli.setup.stdout_is_terminal", lambda: True)
    for line in ("card --home m", "card --home m --rotate"):
        assert "psc card --output CARD_FILE" in psc(line).err
