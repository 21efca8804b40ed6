"""What `bcp-analytics compose` writes: nobody but this machine gets in, and no password is in the file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from bcp_analytics.cli._app import app

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_what_is_not_the_database_is_asked_for_by_name() -> None:
    assert {name: service.get("profiles") for name, service in SERVICES.items()} == {
        "timescaledb": None,
        "grafana": ["grafana"],
        "server": ["server"],
        "s3": ["s3"],
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_checked_and_closed(name: str) -> None:
    service = SERVICES[name]
    image = service.get("image") or re.findall(r"FROM (\S+)", service["build"]["dockerfile_inline"])[0]
    assert re.fullmatch(r"[\w./-]+:v?\d[\w.-]+", image), image
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    volumes = {volume.partition(":")[0] for volume in service.get("volumes", [])}
    assert {one for one in volumes if not one.startswith("./")} <= set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_are_in_files_that_git_does_not_know(name: str) -> None:
    service = SERVICES[name]
    for variable, value in service["environment"].items():
        if re.search(r"PASSWORD|SECRET|KEY|TOKEN", variable):
            assert variable.endswith("_FILE"), variable
        assert "password" not in str(value).replace("/run/secrets/postgres_password", ""), variable
    files = [file["path"] for file in service.get("env_file", [])]
    files += [COMPOSE["secrets"][secret]["file"].removeprefix("./") for secret in service.get("secrets", [])]
    # Without its own a service refuses to start, so that those of the other profiles need not be there.
    assert files
    assert all(file.startswith("secrets/") for file in files)
    assert "secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", ["server", "s3"])
def test_ours_have_no_rights_that_they_do_not_need(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]


def test_the_server_runs_as_nobody_and_does_not_own_the_store() -> None:
    server = SERVICES["server"]
    assert "USER 65532:65532" in server["build"]["dockerfile_inline"].splitlines()
    assert server["read_only"] is True
    assert "user=bcp_server" in server["environment"]["BCP_ANALYTICS_DSN"].split()
    assert SERVICES["timescaledb"]["environment"]["POSTGRES_USER"] == "bcp_owner"
    program, *arguments = server["command"]
    assert program == "bcp-analytics"
    # With a value that is none the command line complains of that value only: it knows the options.
    complaint = CliRunner().invoke(app, [*arguments, "--port", "none"]).output
    assert "Invalid value for '--port'" in complaint


def test_the_s3_store_serves_s3_alone() -> None:
    config = tomllib.loads(COMPOSE["configs"]["garage"]["content"])
    assert config["rpc_bind_addr"] == "127.0.0.1:3901"
    assert config["s3_api"]["api_bind_addr"].endswith(":3900")
    assert {name for name in config if name.startswith(("admin", "s3_web", "k2v"))} == set()
    assert "rpc_secret" not in config
    mounted = {volume.partition(":")[2] for volume in SERVICES["s3"]["volumes"]}
    assert mounted == {config["metadata_dir"], config["data_dir"]}
    # What the docs have whoever installs it write, and set for the archive.
    page = (ROOT / "docs/how-to/archive.md").read_text(encoding="utf-8")
    assert f"BCP_ARCHIVE_LOCATION=s3://{SERVICES['s3']['environment']['GARAGE_DEFAULT_BUCKET']}\n" in page
    for name in ("GARAGE_RPC_SECRET", "GARAGE_DEFAULT_ACCESS_KEY", "GARAGE_DEFAULT_SECRET_KEY"):
        assert f"{name}=" in page, name
