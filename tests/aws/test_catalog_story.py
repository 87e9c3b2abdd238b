"""From the catalog to captured predictions: a version that training left there is imported, deployed, asked, and read."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

from aws.capture_kit import BUCKET, URI
from aws.parts import PROFILE, Servers, until
from aws.serving_kit import BUCKET as ARTIFACTS
from aws.serving_kit import IMAGE, ROLE
from local.kit import DATA
from mlconsole.engine import cataloguing, changing, planning
from mlconsole.engine.ingesting import Ingest
from mlconsole.engine.session import Session
from mlconsole.observations.store import Row
from mlconsole.workspace import load
from mlconsole_aws import plugin

METADATA = """\
owner: ola
signature:
  inputs: [{name: x, datatype: FP32}]
  outputs: [{name: score, datatype: FP32}]
  score: score
"""


def packed(graph: Path) -> bytes:
    """A model.tar.gz, as training leaves one."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.add(graph, "model.onnx")
    return out.getvalue()


def test_from_the_catalog_to_captured_predictions(aws: Servers, tmp_path: Path) -> None:
    s3, sagemaker = aws.client("s3"), aws.client("sagemaker")
    for name in (BUCKET, ARTIFACTS):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": aws.region})
    content = packed(DATA / "double.onnx")
    s3.put_object(Bucket=ARTIFACTS, Key="training/17/model.tar.gz", Body=content)
    s3.put_object(Bucket=ARTIFACTS, Key="training/17/model.yaml", Body=METADATA.encode())
    sagemaker.create_model_package_group(ModelPackageGroupName="relevance")
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{ARTIFACTS}/training/17/model.tar.gz"}
    types = {"SupportedContentTypes": ["application/json"], "SupportedResponseMIMETypes": ["application/json"]}
    sagemaker.create_model_package(ModelPackageGroupName="relevance", InferenceSpecification={"Containers": [container], **types})
    serves = {"image": IMAGE, "instance_type": "ml.m5.large", "instance_count": 1, "role": ROLE, "bucket": ARTIFACTS, "capture": URI}
    options = {"region": aws.region, "account": aws.account, "profile": PROFILE, "config_file": str(aws.config_file), "sagemaker": serves}
    environment = {"serving": "aws", "predictions": "aws", "catalog": "aws", "options": {"aws": options}}
    body = {"workspace": "test", "default_environment": "staging", "environments": {"staging": environment}, "models": {"relevance": {}}}
    (tmp_path / "mlconsole.yaml").write_text(json.dumps(body))
    workspace = load(tmp_path)
    session = Session(workspace, workspace.environments["staging"], plugins={"aws": plugin})

    made = cataloguing.import_version(session, "relevance@1").version
    assert made.artifact.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    Ingest(session).run()  # somebody has begun to watch
    outcome = changing.run(session, planning.plan_deploy(session, "relevance", "1"))
    assert outcome.done, outcome
    described = aws.aws("sagemaker", "describe-model", "--model-name", _model(aws))
    assert described["PrimaryContainer"]["ModelDataUrl"] == container["ModelDataUrl"], "the very bytes that were measured are served"

    runtime = aws.client("sagemaker-runtime")
    asked = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [4.0]}]}
    call = {"EndpointName": "relevance", "ContentType": "application/json", "Body": json.dumps(asked), "InferenceId": "order-17"}
    runtime.invoke_endpoint(**call)
    now = session.clock.now().timestamp()

    def kept() -> list[Row]:
        again = session.again()  # as another process: it has not just looked
        again._plugins = {"aws": plugin}
        Ingest(again).run()
        found = list(again.observations.rows("staging", "relevance", now - 600, now + 600))
        again.close()
        return found

    [row] = until(kept, 30.0)
    assert (row.variant, row.request_id, row.score) == ("v1", "order-17", 8.0)
    session.close()


def _model(aws: Servers) -> str:
    described = aws.aws("sagemaker", "describe-endpoint", "--endpoint-name", "relevance")
    config = aws.aws("sagemaker", "describe-endpoint-config", "--endpoint-config-name", described["EndpointConfigName"])
    return str(config["ProductionVariants"][0]["ModelName"])
