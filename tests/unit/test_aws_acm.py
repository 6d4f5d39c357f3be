"""What localcloud/aws/acm.py adds to moto: a certificate under an ARN that was chosen before."""

import json
from http import HTTPStatus
from typing import Any

import boto3
import pytest
from cryptography import x509
from moto import mock_aws

from localcloud.aws import install
from localcloud.aws.acm import hold_certificate
from localcloud.server import Application

ARN = "arn:aws:acm:eu-central-1:222222222222:certificate/00000000-0000-4000-8000-222222222222"


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    install()
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "222222222222")
    # AWS's own policies take longer to load than a test to run.
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "false")


def test_a_certificate_is_held_in_the_account_and_the_region_of_its_arn() -> None:
    with mock_aws():
        assert hold_certificate(ARN).startswith("-----BEGIN CERTIFICATE-----")
        found = boto3.client("acm", region_name="eu-central-1").describe_certificate(CertificateArn=ARN)
        elsewhere = boto3.client("acm", region_name="eu-west-1").list_certificates()
    certificate = found["Certificate"]
    assert (certificate["CertificateArn"], certificate["Status"]) == (ARN, "ISSUED")
    assert certificate["SubjectAlternativeNames"] == ["localhost", "127.0.0.1"]
    assert elsewhere["CertificateSummaryList"] == []


def test_a_certificate_that_is_held_already_stays_as_it_is() -> None:
    with mock_aws():
        acm = boto3.client("acm", region_name="eu-central-1")
        hold_certificate(ARN)
        first = acm.get_certificate(CertificateArn=ARN)["Certificate"]
        hold_certificate(ARN)
        assert acm.get_certificate(CertificateArn=ARN)["Certificate"] == first


def test_the_certificate_is_signed_with_its_own_key() -> None:
    with mock_aws():
        hold_certificate(ARN)
        acm = boto3.client("acm", region_name="eu-central-1")
        pem = acm.get_certificate(CertificateArn=ARN)["Certificate"]
    certificate = x509.load_pem_x509_certificate(pem.encode())
    certificate.verify_directly_issued_by(certificate)


def test_an_https_listener_takes_the_certificate() -> None:
    with mock_aws():
        hold_certificate(ARN)
        ec2 = boto3.client("ec2", region_name="eu-central-1")
        subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]][:2]
        elb = boto3.client("elbv2", region_name="eu-central-1")
        balancer = elb.create_load_balancer(Name="edge", Subnets=subnets)["LoadBalancers"][0]
        listener = elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Protocol="HTTPS",
            Port=443,
            Certificates=[{"CertificateArn": ARN}],
            DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
        )["Listeners"][0]
    assert listener["Certificates"] == [{"CertificateArn": ARN}]


@pytest.mark.parametrize("arn", ["", "localhost", "arn:aws:iam::222222222222:server-certificate/a", ARN[:-1]])
def test_what_is_not_the_arn_of_a_certificate_is_refused(arn: str) -> None:
    with pytest.raises(ValueError, match="is not the ARN of an ACM certificate"):
        hold_certificate(arn)


def asked(path: str) -> tuple[HTTPStatus, dict[str, Any]]:
    """What the cloud's control path answers."""
    statuses: list[str] = []
    application = Application(aws=None)
    body = application({"PATH_INFO": path}, lambda status, _headers: statuses.append(status))
    return HTTPStatus(int(statuses[0].split()[0])), json.loads(b"".join(body))


def test_the_cloud_makes_a_certificate_when_it_is_asked_for() -> None:
    with mock_aws():
        status, answer = asked(f"/_switchyard/certificate/{ARN}")
        assert status == HTTPStatus.OK
        x509.load_pem_x509_certificate(answer["certificate"].encode())
        listed = boto3.client("acm", region_name="eu-central-1").list_certificates()
    assert [found["CertificateArn"] for found in listed["CertificateSummaryList"]] == [ARN]


def test_the_cloud_says_why_it_makes_no_certificate() -> None:
    status, answer = asked("/_switchyard/certificate/localhost")
    assert status == HTTPStatus.INTERNAL_SERVER_ERROR
    assert answer["error"].startswith("'localhost' is not the ARN of an ACM certificate; one is arn:aws:acm:")
