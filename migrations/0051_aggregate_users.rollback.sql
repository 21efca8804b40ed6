drop materialized view bcp.user_totals_1d;

update bcp.settings
set description = 'Days of user_activity_1d and session_activity_1d that are older go, once their calls are gone; 0: '
    'they stay.'
where name = 'activity_retention';
