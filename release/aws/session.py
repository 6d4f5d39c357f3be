"""AWS clients whose every call ends in bounded time, and their errors in the engine's words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, TokenRetrievalError
from botocore.parsers import ResponseParserError

from release.errors import NeedsPerson, ReleaseError, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_application_autoscaling import ApplicationAutoScalingClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_elbv2 import ElasticLoadBalancingv2Client
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient

ATTEMPTS = 4
CONNECT_SECONDS = 2
READ_SECONDS = 8
# A rollback writes all services at once; each call needs a connection of its own.
CONNECTIONS = 32

THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
NOT_LET_IN = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)


def bounded() -> Config:
    """The settings of every client: botocore's standard retries, a few of them, each with a time limit.

    Standard mode retries throttling, 5xx, timeouts and broken connections, with random pauses of at most
    1, 2 and 4 s: a call has ended after 47 s, one that is answered with errors at once after 7.
    https://boto3.amazonaws.com/v1/documentation/api/latest/guide/retries.html
    """
    return Config(
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=CONNECTIONS,
    )


class Clients:
    """The clients that the engine uses, each made when it is first asked for; use them from any thread.

    endpoint: URL of the AWS API; None for AWS itself, or what the environment says.
    """

    def __init__(self, session: boto3.Session, *, endpoint: str | None = None) -> None:
        self._session = session
        self._endpoint = endpoint
        # A session is not for several threads at once; the clients that it makes are.
        self._making = Lock()

    @property
    def region(self) -> str:
        """The region that the clients speak to; empty where none is configured."""
        return self._session.region_name or ""

    @cached_property
    def elbv2(self) -> "ElasticLoadBalancingv2Client":
        """Elastic Load Balancing."""
        with self._making:
            return self._session.client("elbv2", endpoint_url=self._endpoint, config=bounded())

    @cached_property
    def ecs(self) -> "ECSClient":
        """Elastic Container Service."""
        with self._making:
            return self._session.client("ecs", endpoint_url=self._endpoint, config=bounded())

    @cached_property
    def autoscaling(self) -> "ApplicationAutoScalingClient":
        """Application Auto Scaling."""
        with self._making:
            return self._session.client(
                "application-autoscaling", endpoint_url=self._endpoint, config=bounded()
            )

    @cached_property
    def ssm(self) -> "SSMClient":
        """Systems Manager."""
        with self._making:
            return self._session.client("ssm", endpoint_url=self._endpoint, config=bounded())

    @cached_property
    def cloudwatch(self) -> "CloudWatchClient":
        """CloudWatch."""
        with self._making:
            return self._session.client("cloudwatch", endpoint_url=self._endpoint, config=bounded())

    @cached_property
    def rds(self) -> "RDSClient":
        """Relational Database Service."""
        with self._making:
            return self._session.client("rds", endpoint_url=self._endpoint, config=bounded())

    @cached_property
    def sts(self) -> "STSClient":
        """Security Token Service."""
        with self._making:
            return self._session.client("sts", endpoint_url=self._endpoint, config=bounded())

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        """DynamoDB."""
        with self._making:
            return self._session.client("dynamodb", endpoint_url=self._endpoint, config=bounded())

    @cached_property
    def logs(self) -> "CloudWatchLogsClient":
        """CloudWatch Logs."""
        with self._making:
            return self._session.client("logs", endpoint_url=self._endpoint, config=bounded())

    @cached_property
    def sns(self) -> "SNSClient":
        """Simple Notification Service."""
        with self._making:
            return self._session.client("sns", endpoint_url=self._endpoint, config=bounded())

    @cached_property
    def secretsmanager(self) -> "SecretsManagerClient":
        """Secrets Manager."""
        with self._making:
            return self._session.client("secretsmanager", endpoint_url=self._endpoint, config=bounded())

    def ecr(self, region: str) -> "ECRClient":
        """The container registry of a region: an image may live in another one than the stack."""
        with self._making:
            return self._session.client(
                "ecr", region_name=region, endpoint_url=self._endpoint, config=bounded()
            )


def caller_account(sts: "STSClient") -> str:
    """The account that the credentials belong to. Raises Unavailable."""
    with asking("ask AWS which account this is"):
        return sts.get_caller_identity()["Account"]


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turns what a call inside can raise into the engine's errors. `what` completes "could not …".

    Raises Unavailable where a later try may do, NeedsPerson where AWS has refused for good.
    """
    try:
        yield
    except ClientError as error:
        raise _refusal(what, error) from error
    except (NoCredentialsError, TokenRetrievalError) as error:
        raise Unavailable(f"could not {what}: {error}; sign in (aws sso login, or AWS_PROFILE)") from error
    # An answer that is no XML or JSON is none of botocore's own errors.
    except (BotoCoreError, ResponseParserError) as error:
        raise Unavailable(f"could not {what}, in up to {ATTEMPTS} attempts: {error}") from error
    except KeyError as error:
        # An answer without the part that it always has says nothing; least of all that there is nothing.
        raise Unavailable(f"could not {what}: AWS's answer has no {error}") from error


def complete(answer: Mapping[str, object], part: str) -> None:
    """Raises KeyError, inside `asking`, for an answer without what it always has: then nothing is confirmed.

    botocore takes a body that is no JSON for an answer with nothing in it.
    """
    if part not in answer:
        raise KeyError(part)


def _refusal(what: str, error: ClientError) -> ReleaseError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in THROTTLED or status >= 500 or status == 429:
        return Unavailable(f"could not {what}, in up to {ATTEMPTS} attempts: {error}")
    if code in NOT_LET_IN:
        return Unavailable(f"could not {what}: {error}; give these credentials the permission, or others")
    return NeedsPerson(f"could not {what}: {error}")
