"""As whom AWS takes us, and until when."""

from __future__ import annotations

from mlconsole.plugin.roles import Caller
from mlconsole_aws.clients import Clients


def identity(clients: Clients) -> Caller:
    """The caller of these clients, whichever account they are in: telling who one is is the one thing that is never refused.

    Raises:
        AuthFailed: the credentials are missing, wrong, or have run out; with what to run.
    """
    found = clients.who()
    login = clients.login()
    return Caller(
        name=name_of(str(found.get("Arn") or found.get("UserId") or "")),
        account=str(found.get("Account") or ""),
        region=login.region or clients.region,
        expires=login.expires(),
    )


def name_of(arn: str) -> str:
    """`arn:aws:sts::123456789012:assumed-role/ops/anna` → `ops/anna`; `…:user/team/jan` → `jan`; `…:root` → `root`."""
    resource = arn.split(":", 5)[-1]
    kind, _, rest = resource.partition("/")
    if kind in ("assumed-role", "federated-user"):
        return rest
    return rest.rpartition("/")[2] or resource
