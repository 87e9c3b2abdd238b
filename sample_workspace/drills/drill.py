"""Break one thing for real: `python drills/drill.py NAME`, run by the actions `drill-…` of mlconsole.yaml. `end` puts all of it back.

It does nothing that you could not type: each step is a command of mlconsole's own. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ENDPOINT, REDIS = "relevance", "redis-embeddings"
BROKEN = {"collapsed-version": "5", "broken-language": "6", "slow-version": "7"}
LEGACY = "2"
OURS = {f"v{version}" for version in (*BROKEN.values(), LEGACY)}


def mlconsole(*arguments: str, codes: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """Run a command of mlconsole; its answer. What went wrong there ends the drill."""
    workspace = os.environ.get("MLCONSOLE_WORKSPACE", str(Path(__file__).resolve().parents[1]))
    command = [sys.executable, "-m", "mlconsole", "--workspace", workspace, *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = (done.stdout.strip().splitlines() or ["{}"])[-1]
    answer: dict[str, Any] = json.loads(last) if last.startswith("{") else {}
    if done.returncode not in codes:
        why = answer.get("error", {}).get("message") or done.stderr.strip() or f"exit code {done.returncode}"
        sys.exit(f"mlconsole {' '.join(arguments)}: {why}")
    return answer


def act(name: str, **parameters: str) -> None:
    """Run another action. Whoever runs this one is busy with it, so that we carry that one out ourselves."""
    given = [part for key, value in parameters.items() for part in ("--param", f"{key}={value}")]
    asked = mlconsole("action", "run", name, *given, "--no-wait", "--yes")["run"]["id"]
    mlconsole("action", "carry-out")
    while True:
        run = next(one for one in mlconsole("action", "runs")["runs"] if one["id"] == asked)
        if run["ended"]:
            break
        time.sleep(0.2)
    if run["state"] != "done":
        sys.exit(f"{name}: {run['told']}")


def deploy(version: str, why: str) -> None:
    """Give a version all of the traffic, past the golden queries that would stop it: the release keeps that they were skipped, and why."""
    mlconsole("deploy", f"{ENDPOINT}@{version}", "--traffic", "100", "--break-glass", f"drill: {why}", "--yes")


def back() -> str:
    """Go back to the newest release that stood and gave no request to a drill's version; which."""
    for release in mlconsole("releases", "list", ENDPOINT, "--limit", "500")["releases"]:
        if release["standing"] not in ("live", "past"):
            continue
        name = f"{ENDPOINT}#{release['release']}"
        content = mlconsole("releases", "show", name)["release"]["content"]
        if {variant for variant, share in content["traffic"].items() if share} & OURS:
            continue
        if release["standing"] != "live":
            mlconsole("revert", ENDPOINT, "--to", str(release["release"]), "--yes")
        return name
    sys.exit(f"No release of {ENDPOINT} is without a drill's version. Deploy a good one: mlconsole deploy {ENDPOINT}@3 --traffic 100")


def drill(name: str) -> str:
    """Do it; what was done, in one line."""
    if name in BROKEN:
        version = BROKEN[name]
        deploy(version, name)
        return f"v{version} has all of the traffic"
    if name == "collapsed-rollout":
        version = BROKEN["collapsed-version"]
        rollout = ("--policy", "quick", "--break-glass", f"drill: {name}", "--yes")
        mlconsole("rollout", "start", f"{ENDPOINT}@{version}", *rollout)
        return f"a rollout of v{version} has begun; nobody has to do anything"
    if name == "emptied-redis":
        deploy(LEGACY, name)
        act("service-empty", service=REDIS)
        return f"v{LEGACY} has all of the traffic, {REDIS} holds nothing"
    mlconsole("local", "up", codes=(0, 1))  # 1: something is ill still, as the version that is about to go may be.
    act("service-load", service=REDIS)
    act("traffic-start", endpoint=ENDPOINT)
    return f"{back()} is live, every server is up, {REDIS} is full, traffic is whole"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*BROKEN, "collapsed-rollout", "emptied-redis", "end"])
    print(drill(parser.parse_args().name))


if __name__ == "__main__":
    main()
