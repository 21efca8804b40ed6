update bcp.anonymization_rules
set pattern = replace(replace(replace(
        pattern,
        'mfa\.|snyk_[a-z]{3}\.[A-Za-z0-9]{8}\.|vercel_blob_rw_|xau_|bkct_|pylf_v[0-9]_|hcai?k_|CCDB1_|sl[kc]_|npg_|endr\+|rw_Fe26\.2\*\*|', ''),
        '[AK]', 'K'),
        '12,', '14,')
where name in ('api_key');
update bcp.anonymization_rules
set hint = replace(replace(replace(
        hint,
        'mfa[.]|snyk_|vercel_blob_|xau_|bkct_|pylf_|hcai?k_|ccdb1_|sl[kc]_|npg_|endr[+]|rw_fe26|nraa-|atta[0-9a-f]{12}|plak|xa[ap]t-|', ''),
        'pa-|a[ks]-|secret-|4b1d|', ''),
        '|msh[0-9a-f]{15}p1', '')
where name in ('api_key', 'api_key_form', 'api_key_run');
update bcp.anonymization_rules
set pattern = replace(replace(
        pattern,
        '-|secret-(?:(?:live|test)-)?|pa-|a[ks]', ''),
        '|xa[ap]t', '')
where name in ('api_key_form');
update bcp.anonymization_rules
set pattern = replace(replace(
        pattern,
        'hf_[A-Za-z]{34}\M|(?:SK|AC|PLAK', '(?:SK|AC'),
        '}\M|ATTA[0-9a-f]{60,}[A-Za-z0-9]*|[0-9a-f]{10,20}msh[0-9a-f]{15}p1[0-9a-f]{4,8}jsn[0-9a-f]{12}|4b1d[A-Za-z0-9]{38', '')
where name in ('api_key_run');
update bcp.anonymization_rules set words = array_remove(array_remove(array_remove(array_remove(array_remove(array_remove(words, 'secret-'), 'pa-'), 'ak-'), 'as-'), 'xaat-'), 'xapt-') where name = 'api_key_form';
