from components.release_store import ReleaseStore, ReleaseStoreArgs
from tests.unit.harness import Deployment, deploy

TABLE = "aws:dynamodb/table:Table"


def store(*, deletion_protection: bool = True) -> Deployment:
    return deploy(
        lambda: ReleaseStore(
            "releases",
            ReleaseStoreArgs(
                table_name="switchyard-test-releases",
                images_path="/switchyard/test/images",
                kms_key_arn="arn:aws:kms:eu-west-1:123456789012:key/k",
                deletion_protection=deletion_protection,
            ),
        )
    )


def test_the_table_can_be_restored_to_any_second_and_is_encrypted_with_the_stack_key() -> None:
    assert store().one(TABLE).inputs == {
        "name": "switchyard-test-releases",
        "billingMode": "PAY_PER_REQUEST",
        "hashKey": "pk",
        "rangeKey": "sk",
        "attributes": [{"name": "pk", "type": "S"}, {"name": "sk", "type": "S"}],
        "ttl": {"attributeName": "expires_at", "enabled": True},
        "pointInTimeRecovery": {"enabled": True},
        "serverSideEncryption": {"enabled": True, "kmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/k"},
        "deletionProtectionEnabled": True,
    }, "the history of releases is evidence: it survives mistakes and is read by nobody else"


def test_a_store_creates_nothing_but_its_table() -> None:
    assert store().count() == {TABLE: 1}, "image parameters are written by the release engine alone"


def test_the_table_belongs_to_the_store() -> None:
    assert store().one(TABLE).parent == "releases"
