delete from bcp.sensitive_keys where pack is not null;
delete from bcp.anonymization_rules
where pack is not null
   or name in ('ip_public', 'ip_labelled', 'wallet', 'position', 'postal_address', 'device_number', 'vehicle', 'home_folder', 'ssh_comment');
delete from bcp.anonymization_packs;
