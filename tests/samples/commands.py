"""A command as somebody who types sees it: its status, its results, its messages."""

from __future__ import annotations

import sys

import pytest

from seqlrp.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    sys.argv = ["seqlrp", *map(str, arguments)]
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    status, out, err = run(capsys, *arguments)
    assert status == 2, err
    assert out == ""
    assert "Traceback" not in err
    message = err.strip().splitlines()
    assert len(message) == 1, err
    assert message[0].startswith("seqlrp: ")
    return message[0]
