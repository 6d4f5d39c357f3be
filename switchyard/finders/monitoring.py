"""Finders of what watches (see switchyard/finders/__init__.py)."""

from switchyard.finders.look import Look


def metric_alarm(look: Look) -> str | None:
    """A CloudWatch alarm by name and tags."""
    for found in look.every("cloudwatch", "describe_alarms", "MetricAlarms", AlarmNames=[look["name"]]):
        tags = look.every("cloudwatch", "list_tags_for_resource", "Tags", ResourceARN=found["AlarmArn"])
        if look.is_ours(list(tags)):
            return str(look["name"])
    return None


def dashboard(look: Look) -> str | None:
    """A CloudWatch dashboard by its name, which has the stack's in it: dashboards carry no tags."""
    name = look["dashboardName"]
    listed = look.every("cloudwatch", "list_dashboards", "DashboardEntries", DashboardNamePrefix=name)
    return next((name for found in listed if found["DashboardName"] == name), None)
