"""Brings a database to what this version of the package needs, says where it stands, and takes it back.

State comes from `migrations/`, by yoyo, once each; code comes from `sql/`, loaded whole whenever it, or the
migrations applied, differ from what was loaded last. Both are one transaction, so that a failure leaves the
database as it was. The books of both are in the schema `bcp_migrations`, which the runner makes itself.

The functions take any connection string that libpq takes: a URI, `key=value` pairs, or an empty string for
the environment's `PG*` variables and service files.
"""

from __future__ import annotations

from bcp_analytics.migrate._books import AppliedMigration
from bcp_analytics.migrate._rollback import RollbackPlan, rollback, rollback_plan
from bcp_analytics.migrate._runner import MigrationResult, migrate
from bcp_analytics.migrate._status import MigrationStatus, status

__all__ = [
    "AppliedMigration",
    "MigrationResult",
    "MigrationStatus",
    "RollbackPlan",
    "migrate",
    "rollback",
    "rollback_plan",
    "status",
]
