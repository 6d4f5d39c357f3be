"""The way in: one public application load balancer for all services.

Creates:
- the load balancer, closed: every listener answers 404 until a service adds a rule
- the production listener, on 443 with TLS and a redirect from 80, or on 80 alone without a certificate
- the test listener, which reaches the idle colour, with the same protocol
- an encrypted bucket for access logs, whose old logs expire
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi
from pulumi_aws import lb, s3

HTTP_PORT = 80
HTTPS_PORT = 443
# TLS 1.2 and 1.3 with forward secrecy; one of the policies that FSBP ELB.17 recommends.
TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"
# Long enough to notice a deletion on a Monday, short enough that expired logs are gone for good.
DELETED_LOG_DAYS = 7
# AWS: at most 32 letters, digits and hyphens, no hyphen at either end, not beginning with "internal-".
NAME = re.compile(r"(?!internal-)[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class LoadBalancerArgs:
    """What a load balancer is made from.

    load_balancer_name: its physical name, at most 32 letters, digits and hyphens.
    subnet_ids: public subnets in at least two zones.
    security_group_id: the group that decides who may reach it.
    protocol: "https", or "http" where there is no certificate to be had (no TLS at all).
    certificate_arn: certificate of both listeners; needed for "https", None for "http".
    test_port: port of the test listener; not 80 or 443.
    deletion_protection: refuse to delete the load balancer while this is on.
    idle_timeout_seconds: how long a connection may be silent, 1 to 4000.
    access_log_retention_days: days that access logs are kept.
    log_bucket_force_destroy: delete the bucket even with logs in it; for environments that come and go.
    account_id: account that the load balancer belongs to.
    """

    load_balancer_name: str
    subnet_ids: Sequence[pulumi.Input[str]]
    security_group_id: pulumi.Input[str]
    protocol: Literal["http", "https"]
    certificate_arn: pulumi.Input[str] | None
    test_port: int
    deletion_protection: pulumi.Input[bool]
    idle_timeout_seconds: pulumi.Input[int]
    access_log_retention_days: pulumi.Input[int]
    log_bucket_force_destroy: pulumi.Input[bool]
    account_id: pulumi.Input[str]


class LoadBalancer(pulumi.ComponentResource):
    """An application load balancer with a production and a test listener, and its access logs."""

    arn: pulumi.Output[str]
    arn_suffix: pulumi.Output[str]
    dns_name: pulumi.Output[str]
    zone_id: pulumi.Output[str]
    production_listener_arn: pulumi.Output[str]
    test_listener_arn: pulumi.Output[str]
    access_log_bucket: pulumi.Output[str]
    production_url: pulumi.Output[str]
    test_url: pulumi.Output[str]

    def __init__(self, name: str, args: LoadBalancerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        _check(args)
        super().__init__("switchyard:edge:LoadBalancer", name, None, opts)
        bucket, delivery = self._access_logs(f"{name}-logs", args)
        balancer = self._load_balancer(f"{name}-lb", bucket, delivery, args)
        production_port = HTTPS_PORT if args.protocol == "https" else HTTP_PORT
        production = self._listener(f"{name}-production", balancer, production_port, args)
        test = self._listener(f"{name}-test", balancer, args.test_port, args)
        if args.protocol == "https":
            self._redirect(f"{name}-redirect", balancer, production)

        self.arn = balancer.arn
        self.arn_suffix = balancer.arn_suffix
        self.dns_name = balancer.dns_name
        self.zone_id = balancer.zone_id
        self.production_listener_arn = production.arn
        self.test_listener_arn = test.arn
        self.access_log_bucket = bucket.id
        self.production_url = pulumi.Output.concat(args.protocol, "://", balancer.dns_name)
        self.test_url = pulumi.Output.concat(self.production_url, ":", str(args.test_port))
        self.register_outputs(
            {
                "arn": self.arn,
                "arn_suffix": self.arn_suffix,
                "dns_name": self.dns_name,
                "zone_id": self.zone_id,
                "production_listener_arn": self.production_listener_arn,
                "test_listener_arn": self.test_listener_arn,
                "access_log_bucket": self.access_log_bucket,
                "production_url": self.production_url,
                "test_url": self.test_url,
            }
        )

    def _access_logs(self, name: str, args: LoadBalancerArgs) -> tuple[s3.Bucket, s3.BucketPolicy]:
        """The bucket, and the policy that has to exist before a load balancer may log there."""
        child = pulumi.ResourceOptions(parent=self)
        bucket = s3.Bucket(
            name,
            # At most 37 characters, S3's limit: load balancers' names have 32.
            bucket_prefix=pulumi.Output.concat(args.load_balancer_name, "-logs"),
            force_destroy=args.log_bucket_force_destroy,
            opts=child,
        )
        closed = s3.BucketPublicAccessBlock(
            f"{name}-private",
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        s3.BucketOwnershipControls(
            f"{name}-ownership",
            bucket=bucket.id,
            rule={"object_ownership": "BucketOwnerEnforced"},
            opts=child,
        )
        s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption",
            bucket=bucket.id,
            # Load balancers can't deliver to a bucket that encrypts with a KMS key.
            rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}],
            opts=child,
        )
        versioning = s3.BucketVersioning(
            f"{name}-versions", bucket=bucket.id, versioning_configuration={"status": "Enabled"}, opts=child
        )
        s3.BucketLifecycleConfiguration(
            f"{name}-expiry",
            bucket=bucket.id,
            rules=[
                {
                    "id": "expire-logs",
                    "status": "Enabled",
                    "filter": {"prefix": "AWSLogs/"},
                    "expiration": {"days": args.access_log_retention_days},
                    "noncurrent_version_expiration": {"noncurrent_days": DELETED_LOG_DAYS},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": 1},
                }
            ],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[versioning]),
        )
        policy = s3.BucketPolicy(
            f"{name}-policy",
            bucket=bucket.id,
            policy=pulumi.Output.all(bucket.arn, args.account_id).apply(
                lambda known: log_bucket_policy(known[0], known[1])
            ),
            # S3 answers "conflict" to two changes of a bucket's access at once.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[closed]),
        )
        return bucket, policy

    def _load_balancer(
        self, name: str, bucket: s3.Bucket, delivery: s3.BucketPolicy, args: LoadBalancerArgs
    ) -> lb.LoadBalancer:
        return lb.LoadBalancer(
            name,
            name=args.load_balancer_name,
            load_balancer_type="application",
            internal=False,
            ip_address_type="ipv4",
            subnets=args.subnet_ids,
            security_groups=[args.security_group_id],
            enable_deletion_protection=args.deletion_protection,  # FSBP ELB.6
            access_logs={"bucket": bucket.id, "enabled": True},  # FSBP ELB.5
            drop_invalid_header_fields=True,  # FSBP ELB.4
            # FSBP ELB.12 takes "strictest" as well; that refuses harmless oddities of clients that a
            # public service can't choose, such as a GET with a body.
            desync_mitigation_mode="defensive",
            xff_header_processing_mode="append",
            enable_http2=True,
            idle_timeout=args.idle_timeout_seconds,
            # AWS writes a test file when logging is turned on, and refuses the load balancer if it can't.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[delivery]),
        )

    def _listener(
        self, name: str, balancer: lb.LoadBalancer, port: int, args: LoadBalancerArgs
    ) -> lb.Listener:
        """A listener that knows no service yet: services add their rules."""
        return lb.Listener(
            name,
            load_balancer_arn=balancer.arn,
            port=port,
            protocol=args.protocol.upper(),
            certificate_arn=args.certificate_arn,
            ssl_policy=TLS_POLICY if args.protocol == "https" else None,
            default_actions=[
                {
                    "type": "fixed-response",
                    "fixed_response": {
                        "content_type": "text/plain",
                        "message_body": "not found",
                        "status_code": "404",
                    },
                }
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _redirect(self, name: str, balancer: lb.LoadBalancer, production: lb.Listener) -> None:
        lb.Listener(
            name,
            load_balancer_arn=balancer.arn,
            port=HTTP_PORT,
            protocol="HTTP",
            # FSBP ELB.1
            default_actions=[
                {
                    "type": "redirect",
                    "redirect": {
                        "port": str(HTTPS_PORT),
                        "protocol": "HTTPS",
                        "status_code": "HTTP_301",
                    },
                }
            ],
            # A stack that turns to HTTPS has its production listener on 80 until that has moved.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[production]),
        )


def log_bucket_policy(bucket_arn: str, account_id: str) -> str:
    """Load balancers of one account may add logs; nobody may come without TLS (FSBP S3.5)."""
    statements = [
        {
            "Sid": "DeliverAccessLogs",
            "Effect": "Allow",
            "Principal": {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"},
            "Action": "s3:PutObject",
            # The path is what keeps other accounts out: AWS delivers under the load balancer's own account.
            # A condition on aws:SourceArn or aws:SourceAccount is not among the documented ones, and one
            # that the delivery doesn't answer refuses the load balancer itself.
            "Resource": f"{bucket_arn}/AWSLogs/{account_id}/*",
        },
        {
            "Sid": "DenyPlainHttp",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [bucket_arn, f"{bucket_arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, sort_keys=True)


def _check(args: LoadBalancerArgs) -> None:
    if NAME.fullmatch(args.load_balancer_name) is None:
        raise ValueError(
            f"load_balancer_name is {args.load_balancer_name!r} ({len(args.load_balancer_name)} characters); "
            "AWS takes at most 32 letters, digits and hyphens, no hyphen at either end, and not "
            "'internal-' at the beginning; shorten or change it"
        )
    if args.protocol == "https" and args.certificate_arn is None:
        raise ValueError(
            "protocol is 'https' but certificate_arn is None: give the ARN of an ACM certificate, "
            "or set protocol to 'http' for a stack without TLS"
        )
    if args.protocol == "http" and args.certificate_arn is not None:
        raise ValueError(
            "protocol is 'http' but certificate_arn is given, and nothing would use it: "
            "set protocol to 'https', or certificate_arn to None"
        )
    if args.test_port in (HTTP_PORT, HTTPS_PORT):
        raise ValueError(
            f"test_port is {args.test_port}, which production uses; choose another one, for example 8443"
        )
