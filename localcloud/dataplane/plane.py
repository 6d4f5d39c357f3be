"""The data plane as a whole: databases, tasks and load balancers of this process's moto."""

from pathlib import Path

from localcloud.dataplane.bindings import ListenerAddress
from localcloud.dataplane.database import DatabasePlane
from localcloud.dataplane.tasks import TaskPlane
from localcloud.dataplane.traffic import TrafficPlane
from localcloud.dataplane.usage import DatabaseMeter, Meter


class DataPlane:
    """Makes what moto only keeps books of. To be made before anything is in moto.

    directory: for images, Envoy's files and the databases. endpoint: URL of the AWS API, for the tasks.
    speed: by how much health checks, metrics, alarms and scaling are faster than AWS's.
    """

    def __init__(self, directory: Path, *, images: Path, endpoint: str, speed: float) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._databases = DatabasePlane(directory / "databases")
        self._tasks = TaskPlane(images, endpoint=endpoint)
        self._traffic = TrafficPlane(
            directory / "envoy",
            speed=speed,
            usage=Meter(self._tasks.processes),
            databases=DatabaseMeter(self._databases.processes),
        )

    def start(self) -> None:
        """Raises CloudError where the load balancer does not start."""
        self._databases.start()
        self._traffic.start()
        self._tasks.start()

    def stop(self) -> None:
        """Ends all that it started; tasks first, as long as there is somebody to drain them."""
        self._tasks.stop()
        self._traffic.stop()
        self._databases.stop()

    def listeners(self) -> list[ListenerAddress]:
        """Where each listener is reached."""
        return self._traffic.where()
