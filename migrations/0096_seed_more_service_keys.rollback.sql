update bcp.anonymization_rules
set pattern = replace(replace(replace(
        pattern,
        'mfa\.|snyk_[a-z]{3}\.[A-Za-z0-9]{8}\.|vercel_blob_rw_|xau_|bkct_|pylf_v[0-9]_|hcai?k_|CCDB1_|sl[kc]_|npg_|authress_|sc(?:auth)?_(?=[a-z0-9]+\.)|endr\+|rw_Fe26\.2\*\*|', ''),
        '[AK]', 'K'),
        '12,', '14,')
where name in ('api_key');
update bcp.anonymization_rules
set hint = replace(replace(
        hint,
        'mfa[.]|snyk_|vercel_blob_|xau_|bkct_|pylf_|hcai?k_|ccdb1_|sl[kc]_|npg_|authress_|sc(?:auth)?_[a-z0-9]+[.]|endr[+]|rw_fe26|nraa-|atta[0-9a-f]{12}|plak|4b1d[a-z0-9]{12}|secret-(?:(?:live|test)-)?[a-z0-9_-]{20}|(?:pa|ak|as)-[a-z0-9_-]{20}|xa[ap]t-|', ''),
        '|msh[0-9a-f]{15}p1|[.][a-z0-9]{20,40}:[a-z0-9+/]{22}==', '')
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
        '|ATTA[0-9a-f]{60,}[A-Za-z0-9]*|[0-9a-f]{10,20}msh[0-9a-f]{15}p1[0-9a-f]{4,8}jsn[0-9a-f]{12}|4b1d[A-Za-z0-9]{38}\M|0\.[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\.[A-Za-z0-9]{20,}:[A-Za-z0-9+/=]+', '')
where name in ('api_key_run');
update bcp.anonymization_rules set words = array_remove(array_remove(array_remove(array_remove(array_remove(array_remove(words, 'secret-'), 'pa-'), 'ak-'), 'as-'), 'xaat-'), 'xapt-') where name = 'api_key_form';
