import json
from typing import Any, Literal

import pytest

from components.load_balancer import LoadBalancer, LoadBalancerArgs
from tests.unit.harness import Deployment, deploy, value_of

BALANCER = "aws:lb/loadBalancer:LoadBalancer"
LISTENER = "aws:lb/listener:Listener"
BUCKET = "aws:s3/bucket:Bucket"
PRIVATE = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
OWNERSHIP = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
ENCRYPTION = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
VERSIONS = "aws:s3/bucketVersioning:BucketVersioning"
EXPIRY = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
POLICY = "aws:s3/bucketPolicy:BucketPolicy"

CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/c"
BALANCER_ARN = "arn:aws:LoadBalancer:eu-west-1:123456789012:edge-lb"
BUCKET_ARN = "arn:aws:Bucket:eu-west-1:123456789012:edge-logs"
NOT_FOUND = [
    {
        "type": "fixed-response",
        "fixedResponse": {"contentType": "text/plain", "messageBody": "not found", "statusCode": "404"},
    }
]


def args(
    *,
    protocol: Literal["http", "https"] = "https",
    certificate_arn: str | None = CERTIFICATE,
    load_balancer_name: str = "switchyard-test",
    test_port: int = 8443,
    deletion_protection: bool = True,
    log_bucket_force_destroy: bool = False,
) -> LoadBalancerArgs:
    return LoadBalancerArgs(
        load_balancer_name=load_balancer_name,
        subnet_ids=["subnet-a", "subnet-b"],
        security_group_id="sg-edge",
        protocol=protocol,
        certificate_arn=certificate_arn,
        test_port=test_port,
        deletion_protection=deletion_protection,
        idle_timeout_seconds=65,
        access_log_retention_days=90,
        log_bucket_force_destroy=log_bucket_force_destroy,
        account_id="123456789012",
    )


def balancer(made_from: LoadBalancerArgs | None = None) -> Deployment:
    return deploy(lambda: LoadBalancer("edge", made_from or args()))


def plain() -> LoadBalancerArgs:
    return args(protocol="http", certificate_arn=None)


def test_the_load_balancer_is_public_protected_and_strict() -> None:
    assert balancer().one(BALANCER).inputs == {
        "name": "switchyard-test",
        "loadBalancerType": "application",
        "internal": False,
        "ipAddressType": "ipv4",
        "subnets": ["subnet-a", "subnet-b"],
        "securityGroups": ["sg-edge"],
        "enableDeletionProtection": True,
        "accessLogs": {"bucket": "edge-logs-id", "enabled": True},
        "dropInvalidHeaderFields": True,
        "desyncMitigationMode": "defensive",
        "xffHeaderProcessingMode": "append",
        "enableHttp2": True,
        "idleTimeout": 65,
    }, "ELB.4, ELB.5, ELB.6, ELB.12"


def test_the_load_balancer_waits_until_it_may_write_its_logs() -> None:
    assert "edge-logs-policy" in balancer().one(BALANCER).dependencies, (
        "AWS tries to write when logging is turned on, and fails the load balancer if it can't"
    )


def test_protection_is_lifted_only_where_it_is_written_down() -> None:
    made = balancer(args(deletion_protection=False, log_bucket_force_destroy=True))
    assert made.one(BALANCER).inputs["enableDeletionProtection"] is False
    assert made.one(BUCKET).inputs == {"bucketPrefix": "switchyard-test-logs", "forceDestroy": True}
    assert balancer().one(BUCKET).inputs == {
        "bucketPrefix": "switchyard-test-logs",
        "forceDestroy": False,
    }


def test_with_a_certificate_production_and_test_speak_tls_and_know_no_service() -> None:
    made = balancer()
    secure = {
        "loadBalancerArn": BALANCER_ARN,
        "protocol": "HTTPS",
        "certificateArn": CERTIFICATE,
        "sslPolicy": "ELBSecurityPolicy-TLS13-1-2-2021-06",
        "defaultActions": NOT_FOUND,
    }
    assert made.one(LISTENER, "edge-production").inputs == {**secure, "port": 443}, "ELB.17"
    assert made.one(LISTENER, "edge-test").inputs == {**secure, "port": 8443}, (
        "the idle colour is checked over the protocol that it will serve"
    )


def test_with_a_certificate_plain_http_is_only_sent_on_to_tls() -> None:
    made = balancer()
    redirect = made.one(LISTENER, "edge-redirect")
    assert redirect.inputs == {
        "loadBalancerArn": BALANCER_ARN,
        "port": 80,
        "protocol": "HTTP",
        "defaultActions": [
            {"type": "redirect", "redirect": {"port": "443", "protocol": "HTTPS", "statusCode": "HTTP_301"}}
        ],
    }, "ELB.1"
    assert redirect.dependencies == ("edge-lb", "edge-production"), (
        "port 80 is free only once the production listener of a plain stack has moved to 443"
    )
    assert len(made.of(LISTENER)) == 3


def test_without_a_certificate_there_is_one_plain_listener_for_each_purpose() -> None:
    made = balancer(plain())
    open_ = {"loadBalancerArn": BALANCER_ARN, "protocol": "HTTP", "defaultActions": NOT_FOUND}
    assert {listener.name: listener.inputs for listener in made.of(LISTENER)} == {
        "edge-production": {**open_, "port": 80},
        "edge-test": {**open_, "port": 8443},
    }, "nothing is served until a service adds its rule"


def test_the_log_bucket_is_private_and_its_own_s_only() -> None:
    made = balancer()
    assert made.one(PRIVATE).inputs == {
        "bucket": "edge-logs-id",
        "blockPublicAcls": True,
        "blockPublicPolicy": True,
        "ignorePublicAcls": True,
        "restrictPublicBuckets": True,
    }, "S3.2, S3.3, S3.8"
    assert made.one(OWNERSHIP).inputs == {
        "bucket": "edge-logs-id",
        "rule": {"objectOwnership": "BucketOwnerEnforced"},
    }, "S3.12: no access lists"


def test_logs_are_encrypted_with_the_only_key_that_delivery_can_use() -> None:
    assert balancer().one(ENCRYPTION).inputs == {
        "bucket": "edge-logs-id",
        "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}],
    }


def test_a_deleted_log_can_be_brought_back_and_an_old_one_goes_for_good() -> None:
    made = balancer()
    assert made.one(VERSIONS).inputs == {
        "bucket": "edge-logs-id",
        "versioningConfiguration": {"status": "Enabled"},
    }
    expiry = made.one(EXPIRY)
    assert expiry.inputs == {
        "bucket": "edge-logs-id",
        "rules": [
            {
                "id": "expire-logs",
                "status": "Enabled",
                "filter": {"prefix": "AWSLogs/"},
                "expiration": {"days": 90},
                "noncurrentVersionExpiration": {"noncurrentDays": 7},
                "abortIncompleteMultipartUpload": {"daysAfterInitiation": 1},
            }
        ],
    }, "S3.13; without the second expiry a versioned bucket never gets smaller"
    assert expiry.dependencies == ("edge-logs", "edge-logs-versions"), (
        "a rule for old versions needs versions"
    )


def test_only_load_balancers_of_this_account_add_logs_and_only_over_tls() -> None:
    resource = balancer().one(POLICY)
    assert resource.inputs["bucket"] == "edge-logs-id"
    text = resource.inputs["policy"]
    document: dict[str, Any] = json.loads(text)
    assert document == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "DeliverAccessLogs",
                "Effect": "Allow",
                "Principal": {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"},
                "Action": "s3:PutObject",
                "Resource": f"{BUCKET_ARN}/AWSLogs/123456789012/*",
            },
            {
                "Sid": "DenyPlainHttp",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [BUCKET_ARN, f"{BUCKET_ARN}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
        ],
    }, "S3.5, S3.6"
    assert text == json.dumps(document, sort_keys=True), "an unstable key order is a change each time"
    assert resource.dependencies == ("edge-logs", "edge-logs-private"), (
        "S3 refuses two changes of a bucket's access at once"
    )


@pytest.mark.parametrize(("made_from", "listeners"), [(args(), 3), (plain(), 2)])
def test_a_load_balancer_creates_this_and_nothing_else(made_from: LoadBalancerArgs, listeners: int) -> None:
    made = balancer(made_from)
    assert made.count() == {
        BALANCER: 1,
        LISTENER: listeners,
        BUCKET: 1,
        PRIVATE: 1,
        OWNERSHIP: 1,
        ENCRYPTION: 1,
        VERSIONS: 1,
        EXPIRY: 1,
        POLICY: 1,
    }
    listener_names = {"edge-production", "edge-test", "edge-redirect"}
    assert {resource.name for resource in made.resources} - listener_names == {
        "edge",
        "edge-lb",
        "edge-logs",
        "edge-logs-private",
        "edge-logs-ownership",
        "edge-logs-encryption",
        "edge-logs-versions",
        "edge-logs-expiry",
        "edge-logs-policy",
    }, "a logical name is state: another one replaces the resource"
    assert {resource.parent for resource in made.resources if resource.name != "edge"} == {"edge"}
    assert made.one("switchyard:edge:LoadBalancer").name == "edge", "a type token is state for ever"


@pytest.mark.parametrize(
    ("made_from", "production_url", "test_url"),
    [
        (args(), "https://edge-lb.example.com", "https://edge-lb.example.com:8443"),
        (plain(), "http://edge-lb.example.com", "http://edge-lb.example.com:8443"),
    ],
)
def test_its_outputs_are_what_callers_build_on(
    made_from: LoadBalancerArgs, production_url: str, test_url: str
) -> None:
    made: list[LoadBalancer] = []
    deploy(lambda: made.append(LoadBalancer("edge", made_from)))
    (built,) = made
    listener = "arn:aws:Listener:eu-west-1:123456789012:edge"
    assert value_of(built.arn) == BALANCER_ARN
    assert value_of(built.arn_suffix) == "LoadBalancer/edge-lb/0123456789abcdef"
    assert value_of(built.dns_name) == "edge-lb.example.com"
    assert value_of(built.zone_id) == "Z0123456789"
    assert value_of(built.production_listener_arn) == f"{listener}-production"
    assert value_of(built.test_listener_arn) == f"{listener}-test"
    assert value_of(built.access_log_bucket) == "edge-logs-id"
    assert value_of(built.production_url) == production_url
    assert value_of(built.test_url) == test_url


def test_https_without_a_certificate_is_refused_by_both_names() -> None:
    with pytest.raises(ValueError, match="protocol is 'https' but certificate_arn is None"):
        balancer(args(certificate_arn=None))


def test_a_certificate_that_nothing_would_use_is_refused() -> None:
    with pytest.raises(ValueError, match="protocol is 'http' but certificate_arn is given"):
        balancer(args(protocol="http"))


@pytest.mark.parametrize("port", [80, 443])
def test_the_test_listener_has_a_port_of_its_own(port: int) -> None:
    with pytest.raises(ValueError, match=f"test_port is {port}"):
        balancer(args(test_port=port))


@pytest.mark.parametrize("name", ["a" * 33, "", "-edge", "edge-", "edge_1", "internal-edge", "edge\n"])
def test_a_name_that_aws_would_refuse_is_refused_before(name: str) -> None:
    with pytest.raises(ValueError, match=r"load_balancer_name is .* at most 32"):
        balancer(args(load_balancer_name=name))


@pytest.mark.parametrize("name", ["a", "a" * 32, "Edge-1", "internal"])
def test_a_name_that_aws_takes_is_taken(name: str) -> None:
    assert balancer(args(load_balancer_name=name)).one(BALANCER).inputs["name"] == name
