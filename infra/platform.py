"""The platform of one stack, composed from components. Reads like the picture in the README."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from components.alarms import DatabaseAlarms, ServiceAlarms
from components.backups import Backups
from components.blue_green import BlueGreen
from components.cluster import Cluster
from components.container_service import ContainerService
from components.dashboard import Dashboard
from components.database import Database
from components.encryption import EncryptionKey
from components.load_balancer import LoadBalancer
from components.monitoring import Monitoring
from components.network import Network
from components.registry import Registry
from components.release_store import ReleaseStore
from components.secrets import Secrets
from infra import arguments
from infra.arguments import Stack

# Where the release engine writes which image a colour runs; see docs/one-writer.md.
Images = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service and what routes to it."""

    colours: BlueGreen
    containers: ContainerService
    alarms: ServiceAlarms


def deploy(stack: Stack) -> dict[str, Any]:
    """Declares all of a stack and returns its outputs."""
    providers = _providers(stack)
    with_provider = pulumi.ResourceOptions(provider=providers["home"])
    images = _released_images(stack, providers["home"])
    rules = _rules_so_far(stack)

    key = EncryptionKey("stack", arguments.encryption_key(stack), with_provider)
    monitoring = Monitoring("monitoring", arguments.monitoring(stack, key), with_provider)
    network = Network("network", arguments.network(stack, key), with_provider)
    edge = LoadBalancer("edge", arguments.load_balancer(stack, network), with_provider)
    cluster = Cluster("cluster", arguments.cluster(stack, key), with_provider)
    registry = Registry("registry", arguments.registry(stack, key), with_provider)
    secrets = Secrets("secrets", arguments.secrets(stack, key), with_provider)
    releases = ReleaseStore("releases", arguments.release_store(stack, key), with_provider)

    databases = {}
    for name in stack.settings.databases:
        databases[name] = Database(
            name, arguments.database(stack, name, network, key, monitoring), _after(with_provider, monitoring)
        )
        DatabaseAlarms(
            f"{name}-alarms",
            arguments.database_alarms(stack, name, databases[name], monitoring),
            with_provider,
        )

    parts = arguments.ServiceParts(network, edge, cluster, registry, secrets, databases, monitoring, key)
    services = {}
    for name in stack.settings.services:
        colours = BlueGreen(name, arguments.blue_green(stack, name, network, edge, rules), with_provider)
        # ECS refuses a target group that no listener uses yet.
        containers = ContainerService(
            name,
            arguments.container_service(stack, name, colours, parts, images),
            _after(with_provider, colours),
        )
        alarms = ServiceAlarms(
            f"{name}-alarms",
            arguments.service_alarms(stack, name, colours, containers, parts),
            with_provider,
        )
        services[name] = Service(colours=colours, containers=containers, alarms=alarms)

    Backups("backups", arguments.backups(stack, monitoring, providers.get("copy")), with_provider)
    Dashboard(
        "dashboard",
        arguments.dashboard(
            stack,
            edge,
            cluster,
            databases,
            {name: (service.colours, service.containers) for name, service in services.items()},
        ),
        with_provider,
    )

    return {
        "region": stack.settings.region,
        "production_url": edge.production_url,
        "test_url": edge.test_url,
        "vpc": network.vpc_id,
        "cluster": cluster.name,
        "release_table": releases.table_name,
        "images_path": releases.images_path,
        "alerts_topic": monitoring.topic_arn,
        "databases": {name: database.identifier for name, database in databases.items()},
        "services": {name: _service_outputs(service) for name, service in services.items()},
    }


def _providers(stack: Stack) -> dict[str, aws.Provider]:
    """The stack's own provider, and one for the second region where backups are copied to.

    Both refuse every account but the allowed ones by themselves, on a destroy too, and tag all they make.
    """
    regions = {"home": stack.settings.region}
    if stack.settings.backups.copy_region is not None:
        regions["copy"] = stack.settings.backups.copy_region
    return {
        name: aws.Provider(
            f"aws-{name}",
            region=region,
            allowed_account_ids=stack.settings.accounts,
            default_tags={"tags": stack.tags},
        )
        for name, region in regions.items()
    }


def _released_images(stack: Stack, provider: aws.Provider) -> Images:
    """What the release engine has released, by SSM parameter name; empty on a new stack."""
    found = aws.ssm.get_parameters_by_path(
        path=stack.images_path, recursive=True, opts=pulumi.InvokeOptions(provider=provider)
    )
    return dict(zip(found.names or [], found.values or [], strict=True))


def _rules_so_far(stack: Stack) -> pulumi.Output[Any]:
    """The listener rules that earlier runs made, by service, out of the stack's own last outputs."""
    own = pulumi.StackReference(f"{pulumi.get_organization()}/{stack.project}/{stack.name}")
    return own.get_output("services").apply(lambda services: services or {})


def _after(options: pulumi.ResourceOptions, *needed: pulumi.Resource) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(depends_on=list(needed)))


def _service_outputs(service: Service) -> dict[str, Any]:
    return {
        "production_rule": service.colours.production_rule_arn,
        "test_rule": service.colours.test_rule_arn,
        "target_groups": service.colours.target_group_arns,
        "ecs_services": service.containers.service_names,
        "alarms": service.alarms.alarm_names_by_colour,
    }
