"""Secrets: from systemd's credentials or a file of mode 0600, never from agent.toml itself."""

import pytest
from support.minimal_toml import MINIMAL, paths


@pytest.fixture
def password_file(tmp_path):
    path = tmp_path / "etc/password"
    path.parent.mkdir()
    path.write_text("s3cret\n")
    path.chmod(0o600)
    return path


NAMED = MINIMAL + 'password_file = "/etc/password"\n'


def test_a_password_comes_from_a_file_that_only_its_owner_reads(toml, password_file):
    loaded = toml(NAMED)
    assert (loaded.secrets.password, loaded.mistakes) == ("s3cret", ())
    assert "s3cret" not in repr(loaded)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o602])
def test_a_secret_file_that_others_may_touch_is_refused(toml, password_file, mode):
    password_file.chmod(mode)
    loaded = toml(NAMED)
    assert (loaded.secrets.password, loaded.settings) == (None, None)
    assert "chmod 600" in loaded.mistakes[0].zh and f"{mode:04o}" in loaded.mistakes[0].en


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_an_unusable_secret_file_is_a_mistake(toml, password_file, content):
    password_file.write_bytes(content)
    assert paths(toml(NAMED)) == ["broker.password_file"]


def test_a_missing_secret_file_is_a_mistake(toml):
    assert paths(toml(NAMED)) == ["broker.password_file"]


def test_a_systemd_credential_has_priority_over_the_file(toml, tmp_path):
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/broker-password").write_text("from systemd")
    loaded = toml(NAMED, environ={"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")})
    assert (loaded.secrets.password, loaded.mistakes) == ("from systemd", ())


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (MINIMAL + 'password = "hunter2"\n', "broker.password"),
        (MINIMAL + 'Passwd = "hunter2"\n', "broker.Passwd"),
        (MINIMAL + '[[device]]\nclass = "terminal"\nid = "a"\napi_key = "hunter2"\n', "device[1].api_key"),
        ('token = "hunter2"\n' + MINIMAL, "token"),
        (MINIMAL + '[secrets]\nx = "hunter2"\n', "secrets"),
        (MINIMAL + '密码 = "hunter2"\n'.replace("密码", '"密码"'), "broker.密码"),
    ],
)
def test_a_secret_in_the_file_itself_is_refused_and_never_shown(toml, text, path):
    loaded = toml(text)
    assert paths(loaded) == [path]
    assert "hunter2" not in repr(loaded) and "0600" in loaded.mistakes[0].zh


def test_a_password_inside_an_address_is_not_shown(toml):
    loaded = toml(MINIMAL.replace("127.0.0.1", "mqtt://a:hunter2@x"))
    assert paths(loaded) == ["broker.host"] and "hunter2" not in repr(loaded)


TLS = MINIMAL.replace("tls = false", 'ca_file = "/ca.pem"')


def test_tls_needs_the_files_that_are_named(toml, tmp_path):
    assert paths(toml(TLS)) == ["broker.ca_file"]
    (tmp_path / "ca.pem").touch()
    assert toml(TLS).mistakes == ()
    assert paths(toml(TLS + 'cert_file = "/cert.pem"\n')) == ["broker.cert_file"]
    assert paths(toml(TLS + 'cert_file = "/cert.pem"\nkey_file = "/key.pem"\n')) == [
        "broker.cert_file",
        "broker.key_file",
    ]


def test_a_private_key_that_others_may_read_is_refused_and_a_credential_replaces_it(toml, tmp_path):
    for name in ("ca.pem", "cert.pem", "key.pem", "broker-key"):
        (tmp_path / name).touch(0o644)
    both = TLS + 'cert_file = "/cert.pem"\n'
    assert paths(toml(both + 'key_file = "/key.pem"\n')) == ["broker.key_file"]
    (tmp_path / "key.pem").chmod(0o600)
    assert toml(both + 'key_file = "/key.pem"\n').secrets.key_file == tmp_path / "key.pem"
    loaded = toml(both, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert (loaded.secrets.key_file, [p for p in paths(loaded) if "password" not in p]) == (tmp_path / "broker-key", [])
