"""A real sshd on loopback, with a configuration and keys of its own, for the tests and the bench; and the client's command line for it."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/known.pub
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
PrintMotd no
PrintLastLog no
Compression yes
"""


def sshd_path() -> str | None:
    """Debian has it in a folder that is not on everybody's path."""
    return shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin")


def missing() -> str:
    """Why there can't be one here; empty when there can."""
    if sshd_path() is None:
        return "sshd is not installed (Debian: apt install openssh-server)"
    if shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        return "ssh is not installed (Debian: apt install openssh-client)"
    return ""


@dataclass(frozen=True)
class Server:
    """A running sshd."""

    folder: Path
    port: int

    def command(
        self, program: Sequence[str], *, cwd: Path, environ: Mapping[str, str], compressed: bool = True, port: int | None = None
    ) -> list[str]:
        """`ssh -t` with that program at its other end; `port` is that of whatever stands in between."""
        words = [
            "ssh",
            "-F",
            "none",
            "-tt",
            *(["-C"] if compressed else []),
            "-p",
            str(port or self.port),
            "-i",
            str(self.folder / "known"),
        ]
        for option in ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes", "LogLevel=ERROR", "BatchMode=yes"):
            words += ["-o", option]
        told = " ".join(f"{name}={shlex.quote(value)}" for name, value in environ.items())
        remote = f"cd {shlex.quote(str(cwd))} && exec env {told} {shlex.join(program)}"
        return [*words, f"{getpass.getuser()}@127.0.0.1", remote]


@contextmanager
def sshd(folder: Path) -> Iterator[Server]:
    """It listens from entering to leaving; whoever is logged in then is not ended by it."""
    for name in ("host", "known"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(_CONFIG.format(port=port, folder=folder))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as root it wants that folder, which only its service makes
    path = sshd_path()
    assert path is not None
    with (folder / "sshd.log").open("wb") as log:
        process = subprocess.Popen([path, "-D", "-e", "-f", str(folder / "sshd_config")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _wait(port, process, folder / "sshd.log")
        yield Server(folder, port)
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10.0
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
            return
        except OSError:
            time.sleep(0.05)
