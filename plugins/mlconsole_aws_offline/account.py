"""What an account has before anybody deploys: buckets, an AppConfig application with environments, profiles and their validators."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlconsole.plugin.errors import InvalidFile, Unavailable


def session(config: Path, profile: str) -> Any:
    """boto3's session by a config file of ours, whatever the caller's own files and variables say."""
    import boto3
    import botocore.session

    core = botocore.session.Session(profile=profile)
    core.set_config_variable("config_file", str(config))
    core.set_config_variable("credentials_file", "/dev/null")
    return boto3.Session(botocore_session=core)


def prepare(options: Mapping[str, Any], root: Path, config: Path, front: str) -> None:
    """Make what is not there yet. `front`: where the servers answer, named so that no variable of the caller's leads elsewhere.

    Raises:
        Unavailable: the servers refuse something.
        InvalidFile: a schema can't be read.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    here = session(config, str(options["profile"]))
    try:
        s3 = here.client("s3", endpoint_url=front)
        there = {one["Name"] for one in s3.list_buckets()["Buckets"]}
        for name in options["buckets"]:
            if name not in there:
                s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": options["region"]})
        if options["application"]:
            _application(here.client("appconfig", endpoint_url=front), options, root)
    except (BotoCoreError, ClientError) as error:
        raise Unavailable(f"The AWS servers refuse what an account has from the start: {error}.") from error


def _application(client: Any, options: Mapping[str, Any], root: Path) -> None:
    name = str(options["application"])
    known = {one["Name"]: one["Id"] for one in client.list_applications()["Items"]}
    application = known.get(name) or client.create_application(Name=name)["Id"]
    there = {one["Name"] for one in client.list_environments(ApplicationId=application)["Items"]}
    for environment in options["environments"]:
        if environment not in there:
            client.create_environment(ApplicationId=application, Name=environment)
    profiles = {one["Name"] for one in client.list_configuration_profiles(ApplicationId=application)["Items"]}
    for profile, schema in options["profiles"].items():
        if profile in profiles:
            continue
        validators = [{"Type": "JSON_SCHEMA", "Content": _read(root / schema)}] if schema else []
        client.create_configuration_profile(ApplicationId=application, Name=profile, LocationUri="hosted", Validators=validators)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidFile(f"The schema at {path} can't be read: {error.strerror}.") from error
