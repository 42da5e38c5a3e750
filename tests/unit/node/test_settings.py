import dataclasses
import tomllib
from pathlib import Path

import pytest

from psc.errors import StorageError, UsageError
from psc.node import settings as module
from psc.node.settings import Settings, check_address, default_settings, read_settings
from psc.session.limits import Limits
from tests.homes import code_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(default_settings("merchant"))
    return path


def test_the_default_file_gives_the_defaults(file: Path) -> None:
    found = read_settings(file)
    assert isinstance(found, Settings)
    assert (found.name, found.listen, found.address, found.region, found.language) == ("merchant", "0.0.0.0:7443", "", "CN", "")
    assert found.limits == Limits()
    assert (found.tls.certificate, found.tls.key, found.tls.authority) == ("", "", "")


def test_every_setting_stands_in_the_file_with_an_explanation(file: Path) -> None:
    text = file.read_text()
    assert set(tomllib.loads(text)) == set(Settings.model_fields)
    assert set(module._LIMIT_NOTES) == {field.name for field in dataclasses.fields(Limits)}
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line and not line.startswith(("#", "[")):
            assert lines[number - 1].startswith("#"), line
    assert tomllib.loads(text)["limits"] == {}
    opened = (
        text.partition("\n[limits]\n")[2]
        .replace("\n# ", "\n")
        .removeprefix("# Bounds on what a partner may ask of this node at a time. Take the first # away to change one.")
    )
    assert tomllib.loads(opened) == dataclasses.asdict(Limits())


@pytest.mark.parametrize("name", ["快递", 'a"b\\c', "tab\there", "new\nline", "\x7f"])
def test_any_text_survives_the_file(name: str) -> None:
    assert tomllib.loads(default_settings(name))["name"] == name


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("adress = 'x:1'", "adress"),
        ("[limits]\nsession = 3", "limits.session"),
        ("[tls]\ncert = 'x'", "tls.cert"),
        ("[other]\nx = 1", "other"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_it(tmp_path: Path, line: str, name: str) -> None:
    path = tmp_path / "node.toml"
    path.write_text(f"name = 'a'\n{line}\n")
    error = code_of(UsageError, lambda: read_settings(path))
    assert (error.code, error.fields["name"], error.fields["place"]) == ("node.setting-unknown", name, str(path))


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("address = 'https://x:1'", "address"),
        ("address = 'x'", "address"),
        ("address = 'x:0'", "address"),
        ("address = 'x:65536'", "address"),
        ("address = 'x y:1'", "address"),
        ("address = 5", "address"),
        ("listen = ':7443'", "listen"),
        ("region = 'china'", "region"),
        ("language = 'fr'", "language"),
        ("[limits]\nsessions = 'many'", "limits.sessions"),
        ("[limits]\nsessions = 0", "limits"),
        ("name = 'b c'", "name"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_it(tmp_path: Path, line: str, name: str) -> None:
    path = tmp_path / "node.toml"
    path.write_text(line + "\n" if "name" in line else f"name = 'a'\n{line}\n")
    error = code_of(UsageError, lambda: read_settings(path))
    assert (error.code, error.fields["name"]) == ("node.setting-wrong", name)


def test_a_missing_name_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text("")
    assert code_of(UsageError, lambda: read_settings(path)).code == "node.setting-missing"


@pytest.mark.parametrize("content", [b"name = ", b"name = 'a'\nname = 'b'\n", b"\xff\xfe"])
def test_what_is_not_toml_is_an_error_with_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "node.toml"
    path.write_bytes(content)
    error = code_of(UsageError, lambda: read_settings(path))
    assert (error.code, error.fields["file"]) == ("node.settings-unreadable", str(path))


def test_a_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    code_of(StorageError, lambda: read_settings(tmp_path / "node.toml"))


def test_the_environment_wins(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(file.read_text() + "sessions = 3\nstreams = 32\n")
    monkeypatch.setenv("PSC_ADDRESS", "x.example:1")
    monkeypatch.setenv("PSC_LIMITS__SESSIONS", "5")
    monkeypatch.setenv("PSC_TLS__KEY", "a.pem")
    monkeypatch.setenv("PSC_HOME", "/elsewhere")
    monkeypatch.setenv("PSC_LANG", "zh")
    found = read_settings(file)
    assert (found.address, found.limits.sessions, found.limits.streams, found.tls.key) == ("x.example:1", 5, 32, "a.pem")


@pytest.mark.parametrize(
    ("variable", "value", "code"),
    [
        ("PSC_LIMITS__SESSION", "5", "node.setting-unknown"),
        ("PSC_LIMITS__SESSIONS", "x", "node.setting-wrong"),
        ("PSC_ADDRESS", "x", "node.setting-wrong"),
    ],
)
def test_a_wrong_variable_is_named(file: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, code: str) -> None:
    monkeypatch.setenv(variable, value)
    error = code_of(UsageError, lambda: read_settings(file))
    assert (error.code, error.fields["place"]) == (code, variable)


def test_a_variable_that_is_no_table_is_an_error(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSC_LIMITS", "zzz")
    error = code_of(UsageError, lambda: read_settings(file))
    assert (error.code, error.fields["place"]) == ("node.setting-wrong", "PSC_LIMITS")


@pytest.mark.parametrize("address", ["", "a:1", "10.0.0.1:7443", "[2001:db8::1]:7443", "a-b.example:65535", "快递.cn:1"])
def test_addresses(address: str) -> None:
    assert check_address(address) == address


def test_a_frame_must_hold_a_protocols_message(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text(default_settings("courier") + "frame_bytes = 65536\n", encoding="utf-8")
    with pytest.raises(UsageError, match="frame_bytes"):
        read_settings(path)
