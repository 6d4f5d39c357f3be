"""What the scheduler decides, without a process: rolling updates, scaling, sick tasks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.dataplane.scheduler import (
    LONGEST_DELAY_SECONDS,
    Condition,
    Decision,
    ServiceView,
    Stop,
    TaskView,
    Why,
    breaker_threshold,
    decide,
    delay_seconds,
    is_rolled_out,
)

S, H, F, L = Condition.STARTING, Condition.HEALTHY, Condition.FAILING, Condition.LEAVING


def tasks(deployment: str, *conditions: Condition, first: int = 0) -> list[TaskView]:
    return [
        TaskView(
            id=f"{deployment}{first + index}", deployment=deployment, condition=condition, order=first + index
        )
        for index, condition in enumerate(conditions)
    ]


def service(
    desired: int, *views: list[TaskView], held: bool = False, least: int = 100, most: int = 200
) -> ServiceView:
    return ServiceView(
        desired=desired,
        deployment="new",
        held=held,
        minimum_healthy_percent=least,
        maximum_percent=most,
        tasks=[task for view in views for task in view],
    )


def stopped(decision: Decision) -> dict[str, Why]:
    return {stop.id: stop.why for stop in decision.stop}


def test_what_is_missing_is_started() -> None:
    assert decide(service(3, tasks("new", H))) == Decision(start=2, stop=[])


def test_a_service_that_has_what_it_wants_is_left_alone() -> None:
    assert decide(service(2, tasks("new", H, S))) == Decision(start=0, stop=[])


def test_a_leaving_task_is_replaced_at_once() -> None:
    assert decide(service(2, tasks("new", H, L))) == Decision(start=1, stop=[])


def test_nothing_is_started_while_starts_are_held() -> None:
    assert decide(service(2, tasks("new", H), held=True)) == Decision(start=0, stop=[])


def test_zero_desired_stops_everything() -> None:
    decision = decide(service(0, tasks("new", H, S), tasks("old", H)))
    assert decision.start == 0
    assert stopped(decision) == {"new0": Why.SCALING, "new1": Why.SCALING, "old0": Why.REPLACED}


def test_scaling_in_takes_starting_tasks_first_and_then_the_newest() -> None:
    decision = decide(service(1, tasks("new", S, H, H)))
    assert stopped(decision) == {"new0": Why.SCALING, "new2": Why.SCALING}


def test_a_new_revision_starts_beside_the_old_one_and_stops_nothing_yet() -> None:
    assert decide(service(2, tasks("old", H, H))) == Decision(start=2, stop=[])
    assert decide(service(2, tasks("old", H, H), tasks("new", S, S))) == Decision(start=0, stop=[])


def test_each_healthy_new_task_lets_one_old_task_go_the_oldest_first() -> None:
    decision = decide(service(2, tasks("old", H, H), tasks("new", H, S)))
    assert stopped(decision) == {"old0": Why.REPLACED}


def test_an_old_task_that_serves_nobody_goes_at_once() -> None:
    assert stopped(decide(service(2, tasks("old", S, H)))) == {"old0": Why.REPLACED}


def test_the_maximum_bounds_what_runs_at_once() -> None:
    assert decide(service(4, tasks("old", H, H, H, H), most=150)).start == 2


def test_a_lower_minimum_lets_old_tasks_go_before_new_ones_are_there() -> None:
    assert len(decide(service(4, tasks("old", H, H, H, H), least=50)).stop) == 2


def test_a_sick_task_is_replaced() -> None:
    assert decide(service(2, tasks("new", H, F))) == Decision(
        start=1, stop=[Stop(id="new1", why=Why.UNHEALTHY)]
    )


def test_a_failed_deployment_leaves_the_old_tasks_alone() -> None:
    assert decide(service(2, tasks("old", H, H), held=True)) == Decision(start=0, stop=[])


@pytest.mark.parametrize(
    ("views", "done"),
    [
        ([tasks("new", H, H)], True),
        ([tasks("new", H, S)], False),
        ([tasks("new", H)], False),
        ([tasks("new", H, H, H)], False),
        ([tasks("new", H, H), tasks("old", L)], False),
    ],
)
def test_a_deployment_is_done_when_all_new_tasks_are_well_and_no_old_one_is_left(
    views: list[list[TaskView]], done: bool
) -> None:
    assert is_rolled_out(service(2, *views)) is done


def test_a_service_of_no_tasks_is_rolled_out() -> None:
    assert is_rolled_out(service(0))


@pytest.mark.parametrize(("desired", "threshold"), [(0, 3), (1, 3), (6, 3), (7, 4), (25, 13), (1000, 200)])
def test_the_circuit_breakers_threshold_is_ecss(desired: int, threshold: int) -> None:
    assert breaker_threshold(desired) == threshold


def test_the_pause_between_starts_grows_and_has_an_end() -> None:
    assert [delay_seconds(failures) for failures in range(5)] == [0.0, 0.5, 1.0, 2.0, 4.0]
    assert delay_seconds(10_000) == LONGEST_DELAY_SECONDS


conditions = st.lists(st.sampled_from(Condition), max_size=8)


@given(
    desired=st.integers(0, 6),
    old=conditions,
    new=conditions,
    least=st.integers(0, 100),
    most=st.integers(100, 300),
    held=st.booleans(),
)
def test_no_decision_breaks_the_limits(
    desired: int, old: list[Condition], new: list[Condition], least: int, most: int, held: bool
) -> None:
    before = service(desired, tasks("old", *old), tasks("new", *new), held=held, least=least, most=most)
    decision = decide(before)
    gone = {stop.id for stop in decision.stop}
    healthy = [task for task in before.tasks if task.condition is H]
    kept = [task for task in healthy if task.id not in gone]
    assert len(kept) >= min(len(healthy), -(-desired * least // 100)), "too few healthy tasks are left"
    alive = [task for task in before.tasks if task.condition in (S, H)]
    assert len(alive) + decision.start <= max(len(alive), desired * most // 100), "too many tasks at once"
    assert not gone & {task.id for task in before.tasks if task.condition is L}, "stopped twice"
    assert len(gone) == len(decision.stop)


@given(
    desired=st.integers(0, 6),
    old=conditions,
    new=conditions,
    least=st.integers(0, 100),
    most=st.integers(100, 300),
)
def test_every_service_arrives_when_its_tasks_start_well(
    desired: int, old: list[Condition], new: list[Condition], least: int, most: int
) -> None:
    now = service(desired, tasks("old", *old), tasks("new", *new), least=least, most=most)
    for _ in range(50):
        if is_rolled_out(now):
            return
        now = after(now, decide(now))
    # With no room above the desired count and no old task to spare, ECS waits for ever as well.
    assert desired * most // 100 <= desired


def after(now: ServiceView, decision: Decision) -> ServiceView:
    """A moment later: what was stopped has gone, what was starting is well."""
    gone = {stop.id for stop in decision.stop}
    left = [task for task in now.tasks if task.id not in gone and task.condition is not L]
    well = [
        TaskView(id=task.id, deployment=task.deployment, condition=H, order=task.order)
        for task in left
        if task.condition is not F
    ]
    first = 1 + max((task.order for task in now.tasks), default=0)
    return service(
        now.desired,
        well,
        tasks("new", *[S] * decision.start, first=first),
        least=now.minimum_healthy_percent,
        most=now.maximum_percent,
    )
