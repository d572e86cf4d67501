"""center.toml and the commands: every mistake at once, secrets that stay secret, texts in two languages."""

import subprocess
import tomllib
from pathlib import Path

import pytest
from support.messages_of import command

from center.settings import BrokerSettings, Settings, SettingsError, broker_address, checked, load

SHIPPED = Path(__file__).parents[2] / "config/center.toml"


def test_the_shipped_file_loads_and_has_every_option_with_its_default() -> None:
    assert load(SHIPPED) == Settings()
    tables = tomllib.loads(SHIPPED.read_text("utf-8"))
    for name in Settings.__struct_fields__:
        assert set(tables[name]) == set(getattr(Settings(), name).__struct_fields__), name


def test_six_mistakes_get_six_messages_each_with_its_path() -> None:
    with pytest.raises(SettingsError) as error:
        checked(
            {
                "broker": {"port": 70000, "hots": "x"},
                "store": {"url": "oracle://x"},
                "log": {"level": "loud"},
                "recorder": {"simulated": "yes"},
                "brokr": {},
            }
        )
    paths = ("broker.port = 70000", "broker.hots", "store.url", "log.level", "recorder.simulated", "[brokr]")
    assert len(error.value.mistakes) == 6
    for path in paths:
        assert any(mistake.startswith(path) for mistake in error.value.mistakes), path


@pytest.mark.parametrize("text", [b"[broker", b"\xff", b"broker = 1"])
def test_an_invalid_file_is_one_clear_mistake(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "center.toml").write_bytes(text)
    with pytest.raises(SettingsError):
        load(tmp_path / "center.toml")
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path / "none.toml")


def test_a_password_that_others_can_read_is_rejected(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("geheim\n")
    secret.chmod(0o640)
    settings = BrokerSettings(username="recorder", password_file=str(secret))
    with pytest.raises(SettingsError, match="0600"):
        broker_address(settings)
    secret.chmod(0o600)
    assert broker_address(settings).password == "geheim"


def test_systemds_credential_comes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broker-password").write_text("from systemd")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert broker_address(BrokerSettings(password_file="/nowhere")).password == "from systemd"


def run(*arguments: str, lang: str = "C.UTF-8") -> subprocess.CompletedProcess[str]:
    environment = {"LANG": lang, "PYTHONIOENCODING": "utf-8", "COLUMNS": "200"}
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, encoding="utf-8", timeout=30, env=environment
    )


def test_help_is_chinese_and_english_on_demand() -> None:
    assert "模拟许多站点" in run("--help").stdout
    assert "simulate stations" in run("--lang", "en", "--help").stdout
    assert "simulate stations" in run("--help", lang="en_GB.UTF-8").stdout


def test_mistakes_are_printed_without_a_traceback_and_the_exit_code_is_2(tmp_path: Path) -> None:
    (tmp_path / "center.toml").write_text('[broker]\nport = 0\nhost = ""\n')
    ended = run("record", "--config", str(tmp_path / "center.toml"))
    assert ended.returncode == 2
    assert ended.stderr.count("应为 / must be") == 2
    assert "Traceback" not in ended.stderr
    assert run("watch", "--broker", "nonsense").returncode == 2
    assert run("record", "--store", "sqlite:////nonexistent/x.db").returncode == 2
