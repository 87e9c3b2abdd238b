"""What mlconsole.yaml says under `options: aws-offline:` of an environment."""

from __future__ import annotations

from mlconsole.plugin.options import Kind, Option

OPTIONS = (
    Option(
        "config_file", Kind.PATH, "Where the config file goes that leads boto3 to these servers; `aws` names the same one.", required=True
    ),
    Option("profile", Kind.TEXT, "The profile in it.", "mlconsole-offline"),
    Option("account", Kind.TEXT, "The account that they play (12 digits).", "123456789012"),
    Option("region", Kind.TEXT, "The region that they play.", "eu-central-1"),
    Option("updating_seconds", Kind.NUMBER, "How long bringing up an endpoint takes (s); the real service takes minutes.", 8.0, minimum=0),
    Option("minute_seconds", Kind.NUMBER, "How long a minute of a deployment strategy lasts (s).", 60.0, minimum=0),
    Option("buckets", Kind.LIST, "Buckets that are there from the start.", [], of=Option("bucket", Kind.TEXT, "One of them.")),
    Option("application", Kind.TEXT, "The AppConfig application that is there from the start."),
    Option("environments", Kind.LIST, "Its environments.", [], of=Option("environment", Kind.TEXT, "One of them.")),
    Option(
        "profiles",
        Kind.MAP,
        "Its configuration profiles → the file of the JSON Schema (draft 4) that AppConfig validates with; empty: none.",
        {},
        of=Option("schema", Kind.TEXT, "A path in the workspace, or empty."),
    ),
    Option(
        "names",
        Kind.TEXT,
        "How the application that replays events calls an endpoint: {endpoint}, and {variant} where it splits.",
        "{endpoint}",
    ),
    Option("poll", Kind.INTEGER, "Seconds after which that application reads its configuration again.", 15, minimum=15, maximum=86_400),
    Option("metrics", Kind.TEXT, "The namespace of that application's own metric; left out, it has none."),
)
