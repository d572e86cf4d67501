"""Every command of `yinong-center` has a help text in both languages."""

import subprocess
import sys
from pathlib import Path

import pytest

CENTER = Path(sys.executable).parent / "yinong-center"


@pytest.mark.parametrize("command", [(), ("record",), ("import",), ("watch",), ("simulate",)])
@pytest.mark.parametrize(("lang", "word"), [("zh", "益农|配置|模拟|服务器"), ("en", "county|settings|simulate|broker")])
def test_every_command_explains_itself_in_both_languages(command: tuple[str, ...], lang: str, word: str) -> None:
    ran = subprocess.run(
        [CENTER, *command, "--help", "--lang", lang], capture_output=True, text=True, timeout=60, check=True
    )
    assert any(one in ran.stdout for one in word.split("|"))
