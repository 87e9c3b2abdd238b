"""What mlconsole.yaml says under `options: aws:` of an environment: one declaration for validation, schema and `plugins show`."""

from __future__ import annotations

from mlconsole.plugin.options import Kind, Option

_MACHINE = (
    Option("image", Kind.TEXT, "The inference image (an ECR address, best with its @sha256: digest)."),
    Option("instance_type", Kind.TEXT, "What a variant runs on, as ml.m5.large."),
    Option("instance_count", Kind.INTEGER, "How many of them.", minimum=1, maximum=1000),
    Option("environment", Kind.MAP, "Environment variables of the container; no secrets.", of=Option("value", Kind.TEXT, "Its value.")),
)
"""What a variant needs to run; each may be said for all, for a model, and for one version (the nearest counts)."""

_SAGEMAKER = (
    *_MACHINE,
    Option("role", Kind.TEXT, "The execution role that SageMaker assumes for new models (an ARN)."),
    Option("bucket", Kind.TEXT, "Where artifacts from this machine are put: s3://BUCKET/PREFIX/sha256/…"),
    Option("prefix", Kind.TEXT, "The keys' prefix in that bucket.", "mlconsole"),
    Option("names", Kind.TEXT, "How a SageMaker endpoint is called: {endpoint}, and {variant} where each variant has one of its own."),
    Option(
        "adopted",
        Kind.MAP,
        "Endpoint → variant → the SageMaker endpoint that serves it, where names do not follow the pattern.",
        {},
        of=Option("endpoint", Kind.MAP, "Variant → SageMaker endpoint.", of=Option("variant", Kind.TEXT, "The SageMaker endpoint.")),
    ),
    Option(
        "ignore",
        Kind.LIST,
        "SageMaker endpoints that are none of this environment's; * stands for anything.",
        [],
        of=Option("name", Kind.TEXT, "A name."),
    ),
    Option(
        "machines",
        Kind.MAP,
        "MODEL or MODEL@VERSION → image, instance_type, instance_count, environment, where they differ from those for all.",
        {},
        of=Option("machine", Kind.GROUP, "What it needs.", fields=_MACHINE),
    ),
    Option("subnets", Kind.LIST, "The subnets of new models' network.", [], of=Option("subnet", Kind.TEXT, "One of them.")),
    Option("security_groups", Kind.LIST, "The security groups of it.", [], of=Option("group", Kind.TEXT, "One of them.")),
    Option("kms_key", Kind.TEXT, "The key that endpoint volumes are encrypted with."),
    Option("capture", Kind.TEXT, "s3://BUCKET/PREFIX that endpoints write captured data to; left out, nothing is captured or read."),
    Option("capture_percent", Kind.INTEGER, "So many of a hundred requests are captured.", 100, minimum=1, maximum=100),
    Option("update_seconds", Kind.NUMBER, "How long bringing up a variant usually takes (s).", 420.0, minimum=0),
    Option("weights_seconds", Kind.NUMBER, "How long moving weights usually takes (s).", 60.0, minimum=0),
    Option("deadline_seconds", Kind.NUMBER, "When an update counts as stuck (s).", 3600.0, minimum=1),
)

_APPCONFIG = (
    Option("application", Kind.TEXT, "The application's name or id."),
    Option("environment", Kind.TEXT, "The environment's name or id."),
    Option(
        "profiles",
        Kind.MAP,
        "Document → the configuration profile's name or id; left out, a profile of the document's name.",
        {},
        of=Option("profile", Kind.TEXT, "The profile."),
    ),
    Option("strategy", Kind.TEXT, "How a deployment grows: a strategy's name or id. Ours: to all at once, no bake.", "mlconsole.AllAtOnce"),
    Option("poll", Kind.NUMBER, "The longest time between two looks of an application (s).", 60.0, minimum=15, maximum=86_400),
)

_APPLICATION_METRIC = (
    Option("namespace", Kind.TEXT, "Its namespace.", required=True),
    Option("requests", Kind.TEXT, "The metric that counts requests (Sum).", required=True),
    Option("errors", Kind.TEXT, "The metric that counts failed ones (Sum).", required=True),
    Option(
        "dimensions",
        Kind.MAP,
        "endpoint, variant, and a slice's key → the dimension's name.",
        {},
        of=Option("dimension", Kind.TEXT, "The dimension's name."),
    ),
)

_CLOUDWATCH = (
    Option(
        "application",
        Kind.GROUP,
        "The application's own metric, for errors by slice; without it, none are known.",
        fields=_APPLICATION_METRIC,
    ),
    Option("alarms", Kind.LIST, "Names of alarms that are watched.", [], of=Option("alarm", Kind.TEXT, "An alarm.")),
    Option("alarm_actions", Kind.LIST, "What alarms of ours notify (ARNs).", [], of=Option("action", Kind.TEXT, "An SNS topic.")),
    Option("period", Kind.INTEGER, "Seconds that one figure is of.", 60, minimum=10, maximum=3600),
)

_REGISTRY = (
    Option(
        "groups",
        Kind.MAP,
        "Model → its model package group; left out, a group of the model's name.",
        {},
        of=Option("group", Kind.TEXT, "The group."),
    ),
    Option(
        "buckets",
        Kind.LIST,
        "Buckets in which packages' artifacts and reports lie, for `plugins show aws --policy`.",
        [],
        of=Option("bucket", Kind.TEXT, "BUCKET or BUCKET/PREFIX."),
    ),
)

OPTIONS = (
    Option("region", Kind.TEXT, "The region; another one is refused.", required=True),
    Option("account", Kind.TEXT, "The account (12 digits); another one is refused.", required=True),
    Option("profile", Kind.TEXT, "The profile of ~/.aws/config; else boto3's own order."),
    Option("config_file", Kind.PATH, "Another file than ~/.aws/config, with profiles, SSO and addresses of services as boto3 reads them."),
    Option("guardian_profile", Kind.TEXT, "The guardian's own profile; else the same."),
    Option("sagemaker", Kind.GROUP, "Endpoints.", fields=_SAGEMAKER),
    Option("appconfig", Kind.GROUP, "Config documents.", fields=_APPCONFIG),
    Option("cloudwatch", Kind.GROUP, "Metrics and alarms.", fields=_CLOUDWATCH),
    Option("registry", Kind.GROUP, "The model registry.", fields=_REGISTRY),
    Option(
        "prices",
        Kind.MAP,
        "Instance type → dollars an hour, in place of the plugin's own table.",
        {},
        of=Option("price", Kind.NUMBER, "Dollars an hour.", minimum=0),
    ),
)
