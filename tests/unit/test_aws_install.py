"""The additions to moto are made once, however often they are asked for."""

from moto.backup import urls
from moto.ec2.models import EC2Backend
from moto.rds.models import DBInstance

from localcloud.aws import install


def test_installing_twice_changes_nothing_the_second_time() -> None:
    install()
    before = DBInstance.__init__, EC2Backend.delete_vpc, dict(urls.url_paths)
    install()
    assert before == (DBInstance.__init__, EC2Backend.delete_vpc, dict(urls.url_paths))
