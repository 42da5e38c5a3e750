import errno
import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from psc.errors import StorageError, UsageError
from psc.node import files, store
from psc.node.home import Home
from psc.node.store import SCHEMA_VERSION, Store
from tests.homes import code_of

PRIVATE_FILES = ("identity.pem", "authority.pem", "authority-key.pem")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_home_has_its_layout_and_only_its_owner_may_enter(tmp_path: Path) -> None:
    with Home.create(tmp_path / "a" / "b" / "merchant", "merchant") as home:
        keys = home.keys_folder(home.identity.public)
        assert {path.name for path in home.path.iterdir()} >= {"node.toml", "store.db", "keys", "results"}
        assert {path.name for path in keys.iterdir()} == set(PRIVATE_FILES)
        for folder in (home.path, home.path / "keys", keys, home.results_folder):
            assert mode(folder) == 0o700
        for file in (home.path / "node.toml", home.path / "store.db", *(keys / name for name in PRIVATE_FILES)):
            assert mode(file) == 0o600
        assert home.settings.name == "merchant"
        identity = home.identity.public
    with Home.open(tmp_path / "a" / "b" / "merchant") as again:
        assert again.identity.public == identity
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["merchant"]


def test_a_umask_cannot_open_a_home_to_others(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Home.create(tmp_path / "merchant", "merchant") as home:
            wide = [path for path in [home.path, *home.path.rglob("*")] if mode(path) & 0o077]
    finally:
        os.umask(before)
    assert wide == []


def test_a_home_is_never_made_over_another(merchant: Home) -> None:
    identity = merchant.identity.public
    error = code_of(UsageError, lambda: Home.create(merchant.path, "thief"))
    assert error.code == "node.home-exists"
    assert merchant.identity.public == identity


def test_an_occupied_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("phone\n")
    assert code_of(UsageError, lambda: Home.create(tmp_path, "merchant")).code == "node.folder-occupied"
    assert [path.name for path in tmp_path.iterdir()] == ["orders.csv"]
    assert code_of(UsageError, lambda: Home.create(tmp_path / "orders.csv", "merchant")).code == "node.folder-occupied"


def test_the_working_directory_can_become_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "here"
    folder.mkdir(mode=0o755)
    monkeypatch.chdir(folder)
    with Home.create("./", "merchant"):
        assert Path("node.toml").is_file()
        assert mode(folder) == 0o700
    assert {path.name for path in folder.iterdir()} == {"node.toml", "store.db", "keys", "results"}


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("step", range(8))
def test_a_failure_at_any_step_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool, step: int) -> None:
    target = tmp_path / "merchant"
    if existing:
        target.mkdir()
    calls = 0
    original = os.fsync

    def failing(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls > step:
            raise OSError(errno.ENOSPC, "full")
        original(handle)

    monkeypatch.setattr(files.os, "fsync", failing)
    error = code_of(StorageError, lambda: Home.create(target, "merchant"))
    monkeypatch.undo()
    assert error.code == "node.disk-full"
    assert list(tmp_path.rglob("*")) == ([target] if existing else [])
    with Home.create(target, "merchant"):
        pass


@pytest.mark.parametrize("existing", [False, True])
def test_a_failure_of_the_last_move_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool) -> None:
    target = tmp_path / "merchant"
    if existing:
        target.mkdir()
    original = Path.rename

    def failing(self: Path, to: Path) -> Path:
        if self.name == "store.db" or not existing:
            raise OSError(errno.EIO, "broken")
        return original(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    assert code_of(StorageError, lambda: Home.create(target, "merchant")).code == "node.path-unusable"
    monkeypatch.undo()
    assert list(tmp_path.rglob("*")) == ([target] if existing else [])


@pytest.mark.parametrize("existing", [False, True])
def test_of_many_who_make_one_home_one_wins(tmp_path: Path, existing: bool) -> None:
    target = tmp_path / "merchant"
    if existing:
        target.mkdir()
    barrier = threading.Barrier(6)
    made: list[str] = []
    refused: list[str] = []

    def make() -> None:
        barrier.wait()
        try:
            with Home.create(target, "merchant") as home:
                made.append(home.identity.public)
        except UsageError as error:
            refused.append(error.code)
        except StorageError as error:
            refused.append(error.code)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) + len(made) == 6
    if existing:
        assert len(made) <= 1
        return
    assert len(made) == 1
    with Home.open(target) as home:
        assert home.identity.public == made[0]
    assert [path.name for path in tmp_path.iterdir()] == ["merchant"]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../x", ".hidden", "x" * 65, "a\n", "e\u0301"])
def test_impossible_names_are_refused(tmp_path: Path, name: str) -> None:
    assert code_of(UsageError, lambda: Home.create(tmp_path / "x", name)).code == "node.name-wrong"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["merchant", "快递-1", "a.b_c", "ÄÖ"])
def test_names_of_any_script_are_allowed(tmp_path: Path, name: str) -> None:
    with Home.create(tmp_path / "x", name) as home:
        assert home.settings.name == name


def test_a_wrong_setting_at_creation_leaves_nothing_and_names_the_future_file(tmp_path: Path) -> None:
    error = code_of(UsageError, lambda: Home.create(tmp_path / "x", "x", address="https://x:1"))
    assert error.code == "node.setting-wrong"
    assert error.fields["name"] == "address"
    assert error.fields["place"] == str(tmp_path / "x" / "node.toml")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_home_says_how_to_make_one(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        error = code_of(UsageError, lambda path=path: Home.open(path))
        assert error.code == "node.home-missing"
        assert "psc init" in str(error)


@pytest.mark.parametrize("file", ["", "store.db", "identity.pem"])
@pytest.mark.parametrize("bits", [0o040, 0o004, 0o020, 0o001])
def test_wide_permissions_are_refused_with_the_command_that_narrows_them(merchant: Home, file: str, bits: int) -> None:
    folder = merchant.path if file in ("", "store.db") else merchant.keys_folder(merchant.identity.public)
    path = folder / file
    merchant.close()
    path.chmod(path.stat().st_mode & 0o777 | bits)
    error = code_of(StorageError, lambda: Home.open(merchant.path))
    assert error.code == "node.permissions-wide"
    assert error.fields["path"] == str(path)
    wanted = str(error).split("chmod ")[1].split(" ")[0]
    path.chmod(int(wanted, 8))
    with Home.open(merchant.path):
        pass


def test_settings_may_be_read_but_not_written_by_others(merchant: Home) -> None:
    path = merchant.path / "node.toml"
    path.chmod(0o644)
    with Home.open(merchant.path):
        pass
    path.chmod(0o664)
    assert code_of(StorageError, lambda: Home.open(merchant.path)).code == "node.permissions-wide"


def test_a_home_of_a_newer_psc_is_refused(merchant: Home) -> None:
    merchant.close()
    db = sqlite3.connect(merchant.path / "store.db")
    db.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    db.close()
    error = code_of(StorageError, lambda: Home.open(merchant.path))
    assert error.code == "node.home-newer"
    assert error.fields["found"] == SCHEMA_VERSION + 1


@pytest.mark.parametrize("content", [b"", b"not a database" * 400])
def test_a_damaged_store_is_a_storage_error(merchant: Home, content: bytes) -> None:
    merchant.close()
    (merchant.path / "store.db").write_bytes(content)
    assert code_of(StorageError, lambda: Home.open(merchant.path)).code == "node.store-damaged"


def test_damage_in_the_middle_of_the_store_is_a_storage_error(merchant: Home) -> None:
    merchant.close()
    path = merchant.path / "store.db"
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    path.write_bytes(bytes(content))
    assert code_of(StorageError, lambda: Home.open(merchant.path)).code == "node.store-damaged"


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_damaged_identity_is_a_storage_error_without_the_key_in_its_text(merchant: Home, content: bytes) -> None:
    path = merchant.keys_folder(merchant.identity.public) / "identity.pem"
    merchant.close()
    path.write_bytes(content)
    error = code_of(StorageError, lambda: Home.open(merchant.path))
    assert error.code == "node.key-damaged"
    assert "BEGIN" not in str(error)


def test_another_nodes_identity_file_is_noticed(merchant: Home, courier: Home) -> None:
    path = merchant.keys_folder(merchant.identity.public) / "identity.pem"
    other = courier.keys_folder(courier.identity.public) / "identity.pem"
    merchant.close()
    path.write_bytes(other.read_bytes())
    assert code_of(StorageError, lambda: Home.open(merchant.path)).code == "node.key-damaged"


def test_a_missing_identity_file_is_a_storage_error(merchant: Home) -> None:
    (merchant.keys_folder(merchant.identity.public) / "identity.pem").unlink()
    assert code_of(StorageError, lambda: Home.open(merchant.path)).code == "node.path-unusable"


def test_a_full_disk_in_the_store_is_a_storage_error_and_nothing_of_it_stays(merchant: Home) -> None:
    def fill() -> None:
        with merchant.store.write() as db:
            pages = db.execute("PRAGMA page_count").fetchone()[0]
            db.execute(f"PRAGMA max_page_count={pages}")
            db.execute("INSERT INTO datasets (name, record) VALUES ('x', '{}')")
            db.execute("INSERT INTO datasets (name, record) VALUES ('y', ?)", ("z" * 200_000,))

    assert code_of(StorageError, fill).code == "node.disk-full"
    with merchant.store.read() as db:
        assert db.execute("SELECT COUNT(*) FROM datasets").fetchone() == (0,)


def test_a_store_that_another_holds_is_reported_after_the_wait(merchant: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_BUSY_SECONDS", 0.2)
    other = Store(merchant.path / "store.db")
    merchant.store.close()
    fresh = Store(merchant.path / "store.db")
    with other.write() as db:
        db.execute("DELETE FROM datasets")

        def touch() -> None:
            with fresh.write():
                pass

        assert code_of(StorageError, touch).code == "node.store-locked"
        with fresh.read() as reading:  # readers go on
            assert reading.execute("SELECT COUNT(*) FROM cards").fetchone() == (1,)
    touch()
    other.close()
    fresh.close()


def test_an_exception_undoes_the_transaction_and_the_store_goes_on(merchant: Home) -> None:
    def fail() -> None:
        with merchant.store.write() as db:
            db.execute("INSERT INTO datasets (name, record) VALUES ('x', '{}')")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with merchant.store.write() as db:
        assert db.execute("SELECT COUNT(*) FROM datasets").fetchone() == (0,)


def test_a_reader_cannot_write(merchant: Home) -> None:
    def change() -> None:
        with merchant.store.read() as db:
            db.execute("DELETE FROM cards")

    assert code_of(StorageError, change).code == "node.path-forbidden"
    assert merchant.identity.public


def test_a_closed_store_says_so(merchant: Home) -> None:
    merchant.close()
    assert code_of(StorageError, lambda: merchant.identity).code == "node.store-closed"
    merchant.close()


def test_commits_are_written_through_in_wal_mode(merchant: Home) -> None:
    with merchant.store.read() as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_path_with_signs_of_a_uri_works(tmp_path: Path) -> None:
    with Home.create(tmp_path / "a?b#c%20d 我", "x") as home:
        assert home.identity.public


def test_the_repr_of_a_home_shows_no_key(merchant: Home) -> None:
    pem = (merchant.keys_folder(merchant.identity.public) / "identity.pem").read_text()
    assert pem.splitlines()[1] not in repr(merchant) + repr(merchant.identity) + str(vars(merchant))
