"""Dockerfiles: what is understood, and how the rest is refused."""

import pytest

from localcloud.dataplane.dockerfile import Copy, DockerfileError, Recipe, parse

WHOLE = """\
# syntax=docker/dockerfile:1
FROM python:3.12-slim

WORKDIR /srv
WORKDIR app
ENV VERSION=2 GREETING="good day" \\
    # a comment between
    MODE='x y'
ENV OLD style value
LABEL org.opencontainers.image.source=https://example.org/api
COPY requirements.txt .
RUN pip install \\
    -r requirements.txt
COPY --chown=10001:10001 . .
EXPOSE 8080 9090/udp
VOLUME ["/tmp"]
USER 10001
STOPSIGNAL SIGINT
ENTRYPOINT ["python"]
CMD ["-m", "api"]
"""


def test_a_whole_dockerfile_is_understood() -> None:
    assert parse(WHOLE) == Recipe(
        base="python:3.12-slim",
        entrypoint=["python"],
        command=["-m", "api"],
        environment={"VERSION": "2", "GREETING": "good day", "MODE": "x y", "OLD": "style value"},
        workdir="/srv/app",
        stop_signal="SIGINT",
        copies=[
            Copy(sources=("requirements.txt",), target="/srv/app", into=True),
            Copy(sources=(".",), target="/srv/app", into=True),
        ],
        ports=["8080/tcp", "9090/udp"],
        volumes=["/tmp"],  # noqa: S108 - a path in the image
        user="10001",
        labels={"org.opencontainers.image.source": "https://example.org/api"},
        not_executed=["12: RUN pip install -r requirements.txt"],
    )


def test_what_is_left_out_has_dockers_defaults() -> None:
    found = parse('FROM scratch\nCMD ["/app"]')
    assert (found.workdir, found.stop_signal, found.entrypoint, found.user) == ("/", "SIGTERM", [], "")


def test_instructions_may_be_in_lower_case() -> None:
    assert parse('from scratch as app\ncmd ["a", "b"]').command == ["a", "b"]


def test_an_entry_point_forgets_the_command_of_another_one() -> None:
    assert parse('FROM a\nCMD ["old"]\nENTRYPOINT ["new"]').command == []


def test_a_signal_may_be_a_number() -> None:
    assert parse('FROM a\nSTOPSIGNAL 3\nCMD ["b"]').stop_signal == "SIGQUIT"


def test_a_file_may_be_copied_under_another_name() -> None:
    found = parse('FROM a\nWORKDIR /app\nCOPY one.txt two.txt\nCMD ["b"]')
    assert found.copies == [Copy(sources=("one.txt",), target="/app/two.txt", into=False)]


@pytest.mark.parametrize(
    ("line", "cause", "allowed"),
    [
        ("CMD python app.py", "not the exec form", 'CMD ["python", "app.py"]'),
        ("CMD []", "not the exec form", 'CMD ["python", "app.py"]'),
        ('ENTRYPOINT ["a", 1]', "not the exec form", "JSON array"),
        ("ADD a.tar /", "not understood here", "COPY"),
        ("ARG VERSION", "not understood here", "use FROM, WORKDIR, ENV"),
        ("FROM second", "a second stage", "one FROM"),
        ("COPY --from=build /a /b", "needs a build", "--chown"),
        ("COPY ../secret .", "source '../secret'", "below the Dockerfile"),
        ("COPY *.py .", "source '*.py'", "no patterns"),
        ("COPY .", "no target", "COPY . ."),
        ("ENV PATH=/opt/bin:$PATH", "variables are not replaced", "the value itself"),
        ("WORKDIR ${HOME}/app", "variables are not replaced", "the value itself"),
        ("ENV LONELY", "no value", "NAME=value"),
        ('ENV A="open', "No closing quotation", "close the quotes"),
        ("EXPOSE web", "'web' is no port", "8080"),
        ("STOPSIGNAL SIGNONE", "no signal", "SIGTERM"),
        ("RUN <<EOF", "here-document", "one command"),
    ],
)
def test_a_refusal_says_where_what_and_what_is_allowed(line: str, cause: str, allowed: str) -> None:
    with pytest.raises(DockerfileError) as refused:
        parse(f"FROM a\n\n{line}\n", file="api/Dockerfile")
    said = str(refused.value)
    assert said.startswith(f"api/Dockerfile:3: {line!r}: ")
    assert cause in said
    assert allowed in said


def test_a_continued_line_is_found_where_it_begins() -> None:
    with pytest.raises(DockerfileError, match=r"Dockerfile:2: "):
        parse("FROM a\nADD \\\n  b \\\n  c\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no FROM"),
        ("WORKDIR /app", "before FROM"),
        ("FROM a", "neither CMD nor ENTRYPOINT"),
    ],
)
def test_an_incomplete_file_is_refused(text: str, said: str) -> None:
    with pytest.raises(DockerfileError, match=said):
        parse(text)
