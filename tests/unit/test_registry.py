import json
from collections.abc import Sequence

from components.registry import Registry, RegistryArgs, lifecycle_policy, pull_policy
from tests.unit.harness import Deployment, deploy, value_of

REPOSITORY = "aws:ecr/repository:Repository"
LIFECYCLE = "aws:ecr/lifecyclePolicy:LifecyclePolicy"
POLICY = "aws:ecr/repositoryPolicy:RepositoryPolicy"
KEY_ARN = "arn:aws:kms:eu-west-1:123456789012:key/k"


def registry(
    *,
    repositories: Sequence[str] = ("api", "worker"),
    force_delete: bool = False,
    pull_account_ids: Sequence[str] = (),
) -> Deployment:
    return deploy(
        lambda: Registry(
            "images",
            RegistryArgs(
                repositories=repositories,
                name_prefix="switchyard-test",
                kms_key_arn=KEY_ARN,
                keep_images=50,
                untagged_days=7,
                force_delete=force_delete,
                pull_account_ids=pull_account_ids,
            ),
        )
    )


def test_a_repository_is_immutable_scanned_and_encrypted_with_the_given_key() -> None:
    assert registry().one(REPOSITORY, "images-api").inputs == {
        "name": "switchyard-test/api",
        "imageTagMutability": "IMMUTABLE",
        "imageScanningConfiguration": {"scanOnPush": True},
        "encryptionConfigurations": [{"encryptionType": "KMS", "kmsKey": KEY_ARN}],
        "forceDelete": False,
    }, "ECR.1 and ECR.2: what was tested is what runs, and what runs was scanned"


def test_every_repository_has_a_lifecycle_and_nothing_is_open_by_default() -> None:
    deployment = registry(repositories=["api", "worker", "web"])
    assert deployment.count() == {REPOSITORY: 3, LIFECYCLE: 3}, "no policy: no other account can pull"
    assert [r.inputs["name"] for r in deployment.of(REPOSITORY)] == [
        "switchyard-test/api",
        "switchyard-test/web",
        "switchyard-test/worker",
    ]
    assert [r.inputs for r in deployment.of(LIFECYCLE)] == [
        {"repository": f"switchyard-test/{name}", "policy": lifecycle_policy(keep_images=50, untagged_days=7)}
        for name in ("api", "web", "worker")
    ], "ECR.3 asks for a lifecycle policy on each repository, not on one of them"


def test_the_type_of_a_registry_is_state_for_ever() -> None:
    assert registry().one("switchyard:release:Registry").name == "images"


def test_images_are_deleted_with_the_stack_only_when_that_is_asked_for() -> None:
    assert registry(force_delete=True).one(REPOSITORY, "images-api").inputs["forceDelete"] is True
    assert registry().one(REPOSITORY, "images-api").inputs["forceDelete"] is False


def test_a_registry_without_repositories_creates_nothing() -> None:
    assert registry(repositories=[], pull_account_ids=["210987654321"]).count() == {}


def test_old_images_go_in_two_ways() -> None:
    assert json.loads(lifecycle_policy(keep_images=50, untagged_days=7)) == {
        "rules": [
            {
                "rulePriority": 1,
                "description": "drop untagged images after 7 days",
                "selection": {
                    "tagStatus": "untagged",
                    "countType": "sinceImagePushed",
                    "countUnit": "days",
                    "countNumber": 7,
                },
                "action": {"type": "expire"},
            },
            {
                "rulePriority": 2,
                "description": "keep the newest 50 images",
                "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 50},
                "action": {"type": "expire"},
            },
        ]
    }, "ECR refuses a rule for any image that is not the last"


def test_named_accounts_pull_from_every_repository() -> None:
    deployment = registry(pull_account_ids=["210987654321"])
    assert deployment.count() == {REPOSITORY: 2, LIFECYCLE: 2, POLICY: 2}
    assert [(r.name, r.inputs) for r in deployment.of(POLICY)] == [
        (
            f"images-{name}-pull",
            {"repository": f"switchyard-test/{name}", "policy": pull_policy(["210987654321"])},
        )
        for name in ("api", "worker")
    ]


def test_other_accounts_read_and_do_nothing_else() -> None:
    assert json.loads(pull_policy(["210987654321", "109876543210"])) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "AccountsPullImages",
                "Effect": "Allow",
                "Principal": {"AWS": ["arn:aws:iam::109876543210:root", "arn:aws:iam::210987654321:root"]},
                "Action": [
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:BatchGetImage",
                    "ecr:GetDownloadUrlForLayer",
                ],
            }
        ],
    }, "an account that could push could change what every other account runs"


def test_a_registry_gives_the_url_and_arn_of_each_repository_by_its_short_name() -> None:
    result = registry().result
    assert {name: value_of(url) for name, url in result.repository_urls.items()} == {
        "api": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/images-api",
        "worker": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/images-worker",
    }
    assert {name: value_of(arn) for name, arn in result.repository_arns.items()} == {
        "api": "arn:aws:Repository:eu-west-1:123456789012:images-api",
        "worker": "arn:aws:Repository:eu-west-1:123456789012:images-worker",
    }


def test_all_parts_belong_to_the_registry() -> None:
    deployment = registry(pull_account_ids=["210987654321"])
    children = [r for r in deployment.resources if not r.type.startswith("switchyard:")]
    assert len(children) == 6
    assert {r.parent for r in children} == {"images"}
