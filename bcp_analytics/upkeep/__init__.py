"""Upkeep: each function calls the SQL function or procedure of its name.

All take a psycopg connection first, sync or async, and raise psycopg's own errors, such as
`InsufficientPrivilege` for a role that may not.
"""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from bcp_analytics.upkeep._alerts import (
    PreviewedAlert,
    acknowledge_alert,
    alert_preview,
    delete_alert_rule,
    put_alert_rule,
    reopen_issue,
    resolve_issue,
    snooze_alert,
    snooze_alert_rule,
)
from bcp_analytics.upkeep._channels import (
    NotificationChannel,
    alter_notification_channel,
    create_notification_channel,
    delete_notification_channel,
    notification_channels,
    test_notification_channel,
)
from bcp_analytics.upkeep._privacy import (
    ErasureCount,
    anonymize_history,
    disable_anonymization_pack,
    enable_anonymization_pack,
    erase_user,
    erasure_plan,
    find_erasure,
    hash_of,
    rotate_anonymization_key,
)
from bcp_analytics.upkeep._store import (
    ArchiveWanted,
    CleanupCount,
    CleanupStep,
    apply_policies,
    archives_wanted,
    cleanup_old_data,
    cleanup_plan,
    refresh_analytics_views,
    run_cleanup,
)
from bcp_analytics.upkeep._tokens import ApiToken, api_tokens, create_api_token, revoke_api_token

__all__ = [
    "ApiToken",
    "ArchiveWanted",
    "CleanupCount",
    "CleanupStep",
    "ErasureCount",
    "NotificationChannel",
    "PreviewedAlert",
    "acknowledge_alert",
    "alert_preview",
    "alter_notification_channel",
    "anonymize_history",
    "api_tokens",
    "apply_policies",
    "archives_wanted",
    "cleanup_old_data",
    "cleanup_plan",
    "create_api_token",
    "create_notification_channel",
    "delete_alert_rule",
    "delete_notification_channel",
    "disable_anonymization_pack",
    "enable_anonymization_pack",
    "erase_user",
    "erasure_plan",
    "find_erasure",
    "hash_of",
    "notification_channels",
    "put_alert_rule",
    "refresh_analytics_views",
    "reopen_issue",
    "resolve_issue",
    "revoke_api_token",
    "rotate_anonymization_key",
    "run_cleanup",
    "snooze_alert",
    "snooze_alert_rule",
    "test_notification_channel",
]
