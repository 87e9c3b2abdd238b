"""How one gets to AWS: boto3's own order of credentials, for one profile; what to run when they have run out; whether they were renewed."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha1
from pathlib import Path
from typing import Any

_KEYS = "AWS_ACCESS_KEY_ID"
_EXPIRY = ("x_security_token_expires", "aws_credential_expiration", "aws_expiration", "expiration")
"""Where the tools that write keys for a while into ~/.aws/credentials put their end: boto3 itself has no word for it."""


class Login:
    """One reading of the files that boto3 takes credentials from. When they change there is a newer one: boto3 itself reads them once.

    Args:
        profile: the profile that is asked for; None: boto3's own order (variables, the default profile, the machine's role).
        config_file: in place of `~/.aws/config`.
        loader: botocore's store of service models, kept from one login to the next: reading them is what costs.
    """

    def __init__(self, profile: str | None, config_file: Path | None, loader: Any = None) -> None:
        import botocore.session

        self._given = profile
        self._config_file = config_file
        self.stamp = stamp(config_file)
        self.session: Any = botocore.session.Session(profile=profile)
        if loader is not None:
            self.session.register_component("data_loader", loader)
        if config_file is not None:
            self.session.set_config_variable("config_file", str(config_file))
        self._ask_nobody()

    def _ask_nobody(self) -> None:
        """For a role that wants a code (`mfa_serial`) boto3 asks on stdin, under the screen. Take what the `aws` command has kept of it."""
        from botocore.credentials import JSONFileCache

        assuming = self.session.get_component("credential_provider").get_provider("assume-role")
        assuming._prompter = _no_code
        if any("mfa_serial" in said for said in self._profiles().values()):
            assuming.cache = JSONFileCache(str(Path.home() / ".aws" / "cli" / "cache"))

    @property
    def profile(self) -> str:
        """The profile's name; empty where variables or the machine give the credentials."""
        if self._from_variables:
            return ""
        return str(self._given or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "")

    @property
    def _from_variables(self) -> bool:
        # As botocore has it: a profile that is asked for by name counts more than keys in variables.
        return self._given is None and bool(os.environ.get(_KEYS))

    @property
    def region(self) -> str:
        """The region that profile or variables name themselves; empty where they name none."""
        own = str(self.session.get_scoped_config().get("region") or "")
        around = os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION") or ""
        return own or around if self._given is not None else around or own

    def key(self) -> str:
        """The id of the access key that is used now (it is no secret); renews what boto3 renews by itself.

        Raises:
            NoCredentialsError: there are none.
        """
        from botocore.exceptions import NoCredentialsError

        credentials = self.session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        return str(credentials.get_frozen_credentials().access_key)

    def expires(self) -> datetime | None:
        """When these credentials end for good. None: they do not, they are renewed by themselves, or nobody wrote down when."""
        kind, name = self._source()
        if kind == "code":
            # They were had for a code, and are not renewed without another one.
            ends: datetime | None = getattr(self.session.get_credentials(), "_expiry_time", None)
            return ends
        if kind == "variables":
            return _time(os.environ.get("AWS_CREDENTIAL_EXPIRATION"))
        if kind == "sso":
            return self._token_ends(name)
        if kind == "keys":
            said = self._profiles().get(name, {})
            return next((found for key in _EXPIRY if (found := _time(said.get(key))) is not None), None)
        return None

    def told(self) -> str:
        """`profile ops`, `the variables AWS_ACCESS_KEY_ID, …`, `this machine's role`."""
        if self._from_variables:
            return "the variable AWS_ACCESS_KEY_ID"
        return f"profile {self.profile}" if self.profile else "the default profile, or this machine's role"

    def remedy(self) -> str:
        """What to run when they are missing or have run out."""
        kind, name = self._source()
        with_file = f"AWS_CONFIG_FILE={shlex.quote(str(self._config_file))} " if self._config_file is not None else ""
        named = f" --profile {shlex.quote(name)}" if name and name != "default" else ""
        if kind == "sso":
            return f"Run: {with_file}aws sso login{named} --no-browser. It goes on by itself then."
        if kind == "login":
            return f"Run: {with_file}aws login{named}. It goes on by itself then."
        if kind == "variables":
            return "Put new ones into AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, and start mlconsole again."
        if kind == "code":
            return f"Run: {with_file}aws sts get-caller-identity{named}, which asks for the code. It goes on by itself then."
        if kind == "process":
            return f"See what the credential_process of profile {name or 'default'} says. It goes on by itself then."
        if kind == "web":
            return f"Renew the token in the web_identity_token_file of profile {name or 'default'}. It goes on by itself then."
        if kind == "keys":
            return f"Write new keys: {with_file}aws configure{named}. It goes on by itself then."
        return "Run aws configure or aws sso login, name a profile: `profile:` in mlconsole.yaml, or give this machine a role."

    def _source(self) -> tuple[str, str]:
        """What kind of credentials they are in the end, behind assumed roles, and of which profile."""
        if self._from_variables:
            return "variables", ""
        profiles = self._profiles()
        name, seen = self.profile or "default", set[str]()
        while name in profiles and name not in seen:
            seen.add(name)
            said = profiles[name]
            if "sso_session" in said or "sso_start_url" in said:
                return "sso", name
            if "login_session" in said:
                return "login", name
            if "role_arn" in said:
                if "mfa_serial" in said:
                    return "code", name
                if "web_identity_token_file" in said:
                    return "web", name
                if said.get("credential_source") == "Environment":
                    return "variables", ""
                name = str(said.get("source_profile") or "")
                continue
            if "credential_process" in said:
                return "process", name
            return ("keys", name) if "aws_access_key_id" in said else ("machine", "")
        return "machine", ""

    def _profiles(self) -> Mapping[str, Mapping[str, Any]]:
        found: Mapping[str, Mapping[str, Any]] = self.session.full_config.get("profiles", {})
        return found

    def _token_ends(self, profile: str) -> datetime | None:
        """When the SSO token that role credentials are renewed with ends; None where it renews itself, or is not there."""
        said = self._profiles().get(profile, {})
        key = str(said.get("sso_session") or said.get("sso_start_url") or "")
        try:
            path = _cache("sso") / f"{sha1(key.encode(), usedforsecurity=False).hexdigest()}.json"
            token = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(token, dict) or token.get("refreshToken"):
            return None
        return _time(token.get("expiresAt"))


def _no_code(_: str) -> str:
    from botocore.exceptions import CredentialRetrievalError

    raise CredentialRetrievalError(provider="assume-role", error_msg="the role wants a code of a second factor")


def stamp(config_file: Path | None) -> tuple[tuple[str, int, int], ...]:
    """What tells whether any file that credentials come from was written since."""
    home = Path.home() / ".aws"
    files = [
        config_file or Path(os.environ.get("AWS_CONFIG_FILE") or home / "config").expanduser(),
        Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials").expanduser(),
        *sorted(_cache("sso").glob("*.json")),
        *sorted(_cache("login").glob("*.json")),
        *sorted(_cache("cli").glob("*.json")),
    ]
    found = []
    for file in files:
        try:
            about = file.stat()
        except OSError:
            continue
        found.append((str(file), about.st_mtime_ns, about.st_size))
    return tuple(found)


def _cache(kind: str) -> Path:
    return Path.home() / ".aws" / kind / "cache"


def _time(text: object) -> datetime | None:
    """A time as files and variables write it (`2026-11-20T18:04:00Z`); None where it is none."""
    if not isinstance(text, str) or not text:
        return None
    try:
        found = datetime.fromisoformat(text.replace("UTC", "Z").strip())
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
