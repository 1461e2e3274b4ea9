"""Apache Kafka's jars from Maven Central, fetched once into a cache folder, and the Java that runs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

KAFKA_VERSION: Final = "4.1.1"
JAVA_MIN: Final = 17
FETCH_TIMEOUT_S: Final = 300.0
HERE: Final = Path(__file__).parent


class NoKafkaError(RuntimeError):
    """No broker can be started; the text says what is missing and how to install it."""


def cache_folder() -> Path:
    """Where the jars are kept between runs."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "boxoffice" / f"kafka-{KAFKA_VERSION}"


@cache
def java() -> str:
    """Path of a Java that is new enough. Raises NoKafkaError."""
    home = os.environ.get("JAVA_HOME")
    found = f"{home}/bin/java" if home else shutil.which("java")
    if found is None or not Path(found).exists():
        raise NoKafkaError(f"no Java {JAVA_MIN}: apt-get install openjdk-17-jre-headless")
    printed = subprocess.run(
        [found, "-version"], capture_output=True, text=True, timeout=30, check=False
    ).stderr
    version = re.search(r'version "(\d+)', printed)
    if version is None or int(version[1]) < JAVA_MIN:
        raise NoKafkaError(f"{found} is too old for Kafka: Java {JAVA_MIN} or newer is needed")
    return found


def classpath() -> str:
    """The jars, fetched if they are not in the cache yet. Raises NoKafkaError."""
    folder = cache_folder()
    if not folder.is_dir():
        _fetch(folder)
    return f"{folder}/*"


def _fetch(folder: Path) -> None:
    """Fetch beside the target and rename: the folder is complete or absent, even when several processes fetch at once."""
    maven = shutil.which("mvn")
    if maven is None:
        raise NoKafkaError("no Kafka in the cache and no Maven to fetch it: apt-get install maven")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as home:
        draft = Path(home)
        shutil.copy(HERE / "pom.xml", draft)
        argv = [maven, "--batch-mode", "--quiet", "dependency:copy-dependencies", "-DincludeScope=runtime"]
        argv += [f"-Dkafka.version={KAFKA_VERSION}", f"-DoutputDirectory={draft}/jars"]
        try:
            done = subprocess.run(
                argv, cwd=draft, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise NoKafkaError(f"Maven did not fetch Kafka within {FETCH_TIMEOUT_S:g} s") from None
        if done.returncode != 0:
            raise NoKafkaError(f"Maven could not fetch Kafka:\n{(done.stdout + done.stderr)[-2000:]}")
        try:
            (draft / "jars").rename(folder)
        except OSError:
            if not folder.is_dir():  # Otherwise another process was faster; its jars are the same.
                raise
