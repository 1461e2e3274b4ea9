"""Root, or another user, ran the stack on this folder before: the next start says so, and writes nothing beside what it cannot read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.local.home import Home, of_another_user
from infra.servers.postgres import EmbeddedPostgres
from infra.servers.unprivileged import server_owner


def test_a_file_of_another_user_is_named_with_what_to_do(tmp_path: Path) -> None:
    home = Home(tmp_path / "my data")
    said = of_another_user(home, PermissionError(13, "Permission denied", str(home.folder / "lock")))

    assert said.splitlines() == [
        f"{home.folder}/lock belongs to another user, who ran this before.",
        f"Go on as that user, or start with new data: sudo rm -rf '{home.folder}'",
    ]


@pytest.mark.parametrize("elsewhere", ["/etc/shadow", None])
def test_a_refusal_elsewhere_is_an_error_like_any_other(tmp_path: Path, elsewhere: str | None) -> None:
    with pytest.raises(PermissionError):
        of_another_user(Home(tmp_path), PermissionError(13, "Permission denied", elsewhere))


def test_postgresql_does_not_start_on_a_folder_of_another_user(tmp_path: Path) -> None:
    folder = Path("/usr")  # root's, when we are not root
    if (owner := server_owner()) is not None:
        folder = tmp_path / "postgres"
        folder.mkdir()
        os.chown(folder, owner.uid + 1, owner.gid)

    with pytest.raises(RuntimeError, match="belongs to another user"):
        EmbeddedPostgres(folder).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reaches what `nobody` cannot")
def test_postgresql_does_not_start_with_new_data_elsewhere(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "postgres").mkdir()

    server = EmbeddedPostgres(tmp_path / "postgres")
    assert server.data_dir != tmp_path / "postgres"
    with pytest.raises(RuntimeError, match="belongs to another user"):
        server.start()
