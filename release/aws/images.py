"""Which image each colour runs: SSM parameters `/<project>/<stack>/images/<service>/<colour>`."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from components.colours import COLOURS, Colour
from release.aws.session import asking, complete
from release.errors import NeedsPerson, Refused, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

DIGEST_REFERENCE = re.compile(r"[a-z0-9][a-z0-9._/:-]*@sha256:[0-9a-f]{64}")


def is_digest(image: str) -> bool:
    """Whether it is `repository@sha256:…`, which can't come to mean another image as a tag can."""
    return DIGEST_REFERENCE.fullmatch(image) is not None


class ParameterImages:
    """Reads and writes the parameters; nobody else writes them."""

    def __init__(self, ssm: "SSMClient", images_path: str) -> None:
        self._ssm = ssm
        self._path = images_path

    def read(self, service: str) -> Mapping[Colour, str]:
        """By colour; one that nothing was released to is missing. Raises NeedsPerson for no digest."""
        names: dict[str, Colour] = {self._name(service, colour): colour for colour in COLOURS}
        with asking(f"read which images {service} runs"):
            answer = self._ssm.get_parameters(Names=list(names))
            found = {names[one["Name"]]: one["Value"] for one in answer["Parameters"]}
            missing = {names[name] for name in answer.get("InvalidParameters", [])}
        if unsaid := set(COLOURS) - found.keys() - missing:
            which = " and ".join(sorted(unsaid))
            raise Unavailable(f"SSM tells neither the image of {service} {which} nor that there is none")
        for colour, image in found.items():
            if not is_digest(image):
                raise NeedsPerson(
                    f"the parameter {self._name(service, colour)} holds {image!r}, which is no image by "
                    "digest: somebody else wrote it; set it to the image that the colour runs"
                )
        return found

    def write(self, service: str, colour: Colour, image: str) -> None:
        """Sets the image. Raises Refused for what is no digest."""
        if not is_digest(image):
            raise Refused(
                f"{image!r} is no image to release: give repository@sha256:<64 hex digits>, because a tag "
                "may mean another image tomorrow"
            )
        with asking(f"set the image of {service} {colour}"):
            answer = self._ssm.put_parameter(
                Name=self._name(service, colour), Value=image, Type="String", Overwrite=True
            )
            complete(answer, "Version")

    def _name(self, service: str, colour: Colour) -> str:
        return f"{self._path}/{service}/{colour}"
