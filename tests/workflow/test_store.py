"""A store that speaks S3: a real server on this machine's loopback, pushed to by one clone and pulled from by
another."""

import shutil

import boto3
import pytest
from moto.server import ThreadedMotoServer

pytestmark = pytest.mark.slow
KEYS = {"AWS_ACCESS_KEY_ID": "name", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
def endpoint(monkeypatch):
    """The address of an S3 server with one empty bucket, ``lab``."""
    for name, value in {**KEYS, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    boto3.client("s3", endpoint_url=address).create_bucket(Bucket="lab")
    yield address
    server.stop()


def test_results_go_to_an_s3_store_and_come_back_in_another_clone_with_nothing_to_do(recorded, endpoint, tmp_path):
    project = recorded.copy(tmp_path / "clone")
    project.run("dvc", "remote", "modify", "store", "url", "s3://lab/featdiff")
    project.run("dvc", "remote", "modify", "store", "endpointurl", endpoint)
    project.commit("store in S3")
    project.run("dvc", "push")
    stored = boto3.client("s3", endpoint_url=endpoint).list_objects_v2(Bucket="lab", Prefix="featdiff/files/md5/")
    recorded_files = project.run("dvc", "list", "--dvc-only", "--recursive", ".").stdout.split()
    assert stored["KeyCount"] >= len(recorded_files) > 10
    shutil.rmtree(project.root / ".dvc/cache")
    project.run("git", "clone", "--quiet", ".", str(tmp_path / "other"))
    other = type(project)(tmp_path / "other")
    assert not (other.root / "results/report.html").exists()
    other.run("dvc", "pull")
    other.run("featdiff", "ledger", "adopt")
    assert other.stale() == {}
    assert other.dvc_status() == {}
    other.run("featdiff", "ledger", "verify")
