"""Secrets that a platform mounts as files (OpenFaaS always, Kubernetes on request): one file for each variable.

BOXOFFICE_SECRETS_DIR names the directory. A file has the name of its variable, in either spelling: BOXOFFICE_DATABASE_URL or
boxoffice-database-url, as Kubernetes and OpenFaaS require. Files are read once, at the start.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from shared_lib.processes import variables_of, variables_of_providers

DIRECTORY: Final = "BOXOFFICE_SECRETS_DIR"
BYTES_MAX: Final = 64 * 1024


class UnreadableSecretError(ValueError):
    """A secret cannot be read from its file. The text names the variable and contains no part of a secret."""


def hold_mounted_secrets(process: str) -> None:
    """Put the secrets that processes.py lists for this process from their files into its environment, and no others.

    boto3 and libpq read the environment too. Raises UnreadableSecretError. Does nothing without BOXOFFICE_SECRETS_DIR.
    """
    directory = os.environ.get(DIRECTORY)
    if not directory:
        return
    if not Path(directory).is_dir():
        raise UnreadableSecretError(f"{DIRECTORY}: there is no such directory")
    for variable in (*variables_of(process), *variables_of_providers(process)):
        value = _mounted(Path(directory), variable)
        if not value:
            continue
        if os.environ.get(variable, value) not in ("", value):
            raise UnreadableSecretError(
                f"{variable}: it is given as a variable and as a file, and they differ"
            )
        os.environ[variable] = value


def _mounted(directory: Path, variable: str) -> str | None:
    paths = (directory / variable, directory / variable.lower().replace("_", "-"))
    found = [path for path in paths if path.is_file()]
    if len(found) > 1:
        raise UnreadableSecretError(f"{variable}: there are two files for it")
    return _line(found[0], variable) if found else None


def _line(path: Path, variable: str) -> str:
    """The content of the file, without the line feed at its end."""
    try:
        with path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
        text = content.decode().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableSecretError(f"{variable}: its file cannot be read ({type(error).__name__})") from None
    if len(content) > BYTES_MAX or not text.isprintable():
        raise UnreadableSecretError(
            f"{variable}: its file does not hold one line of at most {BYTES_MAX} bytes"
        )
    return text
