"""What the keeper reads out of Envoy's log."""

from __future__ import annotations

from pathlib import Path

from mlconsole_local.keeper import complaint


def test_envoys_complaints_are_found_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "envoy.log"
    assert complaint(log) == ""
    stamp = "[2026-11-20 05:39:42.996][12381][critical][main] [source/server/server.cc:449]"
    log.write_text(f"{stamp} error `no such field: 'nonsense'` initializing config\n  /x'\n")
    assert complaint(log) == "error `no such field: 'nonsense'` initializing config"
    log.write_text(
        "[2026-11-20 05:39:29.843][1][warning][config] [source/x.cc:81] Filesystem config update rejected: goo.gle/debugproto\n  value: 1\n"
        ': Proto constraint validation failed (A: embedded message failed validation | caused by Value: does not match "^[^\\n]*$")\n'
        "[2026-11-20 05:39:29.873][1][warning][main] [source/server/server.cc:1028] caught ENVOY_SIGTERM\n"
    )
    assert complaint(log) == 'Value: does not match "^[^\\n]*$"'
