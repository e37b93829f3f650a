"""A small storm; `make chaos` raises a whole one."""

import sys

import pytest

from tests import storm


@pytest.mark.skipif(sys.platform != "linux", reason="what is left is looked for in /proc")
def test_a_storm_loses_doubles_and_changes_nothing(capsys):
    pytest.importorskip("torch", reason="torch is one of its three backends")
    small = ["--trials", "30", "--kills", "3", "--run-kills", "1", "--epochs", "2", "--seconds", "4"]
    code = storm.main([*small, "--stop", "true", "--start", "true", "--stops", "1", "--away", "0.5"])
    told = capsys.readouterr().out
    assert code == 0, told
    assert "nothing was lost, doubled, changed or left behind" in told


def test_what_is_lost_doubled_or_changed_is_seen():
    import pandas as pd

    columns = {name: [0.5, 0.5] for name in storm.EXACT} | {"status": "ok", "reason": None}
    quiet = pd.DataFrame(columns, index=["a", "b"])
    assert storm.differences(quiet, quiet.copy(), crashed=False) == []
    changed = quiet.copy()
    changed.loc["a", "test_loss"] = 0.5000000000000001
    assert storm.differences(quiet, changed, crashed=False) == ["test_loss is another in 1 rows: [None]"]
    assert storm.differences(quiet, quiet.loc[["a"]], crashed=False) == ["1 rows of 2 planned trials"]
    assert storm.differences(quiet, pd.concat([quiet, quiet.loc[["b"]]]), crashed=False)
    crashed = quiet.assign(status=["ok", "crashed"], test_loss=[0.5, None])
    assert storm.differences(quiet, crashed, crashed=True) == []
    assert storm.differences(quiet, crashed, crashed=False) == ["trials are crashed"]
