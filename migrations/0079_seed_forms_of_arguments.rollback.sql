delete from bcp.anonymization_rules where name in ('argument', 'told_pair', 'email_spelled');
