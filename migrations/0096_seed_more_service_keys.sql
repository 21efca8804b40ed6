-- Keys of more services by their own form. The three rules share one hint, which is one gate. A rule that a team has
-- changed keeps its pattern: what is replaced is not in it then.
update bcp.anonymization_rules
set pattern = replace(replace(replace(
        pattern,
        '\m(?:(?:sk-(?:ant|', '\m(?:(?:mfa\.|snyk_[a-z]{3}\.[A-Za-z0-9]{8}\.|vercel_blob_rw_|xau_|bkct_|pylf_v[0-9]_|hcai?k_|CCDB1_|sl[kc]_|npg_|endr\+|rw_Fe26\.2\*\*|sk-(?:ant|'),
        'NR(?:AK|JS|II|IQ|BR|RA|SP)-', 'NR(?:A[AK]|JS|II|IQ|BR|RA|SP)-'),
        '[A-Za-z0-9_-]{14,}(?:\.[A-Za-z0-9_-]{6,}|', '[A-Za-z0-9_-]{12,}(?:\.[A-Za-z0-9_-]{6,}|')
where name = 'api_key';
update bcp.anonymization_rules
set pattern = replace(replace(
        pattern,
        '\m(?:(?:sk-|live_|', '\m(?:(?:sk-|secret-(?:(?:live|test)-)?|pa-|a[ks]-|live_|'),
        '(?:sdk|api|mob|', '(?:sdk|api|mob|xa[ap]t|'),
    words = words || array['secret-', 'pa-', 'ak-', 'as-', 'xaat-', 'xapt-']
where name = 'api_key_form' and not words @> array['xaat-'];
update bcp.anonymization_rules
set pattern = replace(
        pattern, '|(?:SK|AC)[0-9a-f]{32}\M',
        '|hf_[A-Za-z]{34}\M|(?:SK|AC|PLAK)[0-9a-f]{32}\M|ATTA[0-9a-f]{60,}[A-Za-z0-9]*|[0-9a-f]{10,20}msh[0-9a-f]{15}p1[0-9a-f]{4,8}jsn[0-9a-f]{12}|4b1d[A-Za-z0-9]{38}\M')
where name = 'api_key_run';
update bcp.anonymization_rules
set hint = replace(replace(
        hint, '|(?:a(?:3t|', '|(?:pa-|a[ks]-|secret-|4b1d|a(?:3t|'),
        '\m(?:(?:1(?://0|', '\m(?:(?:mfa[.]|snyk_|vercel_blob_|xau_|bkct_|pylf_|hcai?k_|ccdb1_|sl[kc]_|npg_|endr[+]|rw_fe26|nraa-|atta[0-9a-f]{12}|plak|xa[ap]t-|1(?://0|')
    || '|msh[0-9a-f]{15}p1'
where name in ('api_key', 'api_key_form', 'api_key_run') and hint like '\\m(?:(?:1(?://0|%';
