-- What is personal or secret in text by its form. The order matters: first whole secrets, then what a key names, then
-- what looks like a person's.
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, value_pattern, words, hint, validation, action, replacement, enabled, note) values
    ('private_key', 10, 'secret',
     '(?:-{4,5} ?BEGIN [A-Z0-9 ]{0,40}(?:PRIVATE|STATIC) KEY.*?(?:-{4,5} ?END [A-Z0-9 ]{0,40}(?:PRIVATE|STATIC) KEY[A-Z0-9 ]*-{4,5}(?!-)|$)|\mPrivate-Lines: *[0-9]+\s.*?(?:Private-MAC: *[0-9a-f]+(?![0-9a-f])|$)){1,1}?',
     null, '{private key,static key,private-lines}', null,
     'none', 'redact', '[REDACTED]', true, 'Blocks of PEM, PGP, OpenSSH, OpenVPN and PuTTY, also cut short.'),
    ('api_key', 20, 'secret',
     '\m(?:'
     '(?:sk-(?:ant|proj|svcacct|admin|or|lf|sp|kimi|helicone)-|pk-lf-|whsec_'
     '|gl(?:pat|rtr?|cbt|dt|ptt|ft|soat|imt|agent|oas|ffct|wt)-|GR1348941|gh[opsru]_|github_pat_'
     '|ya29\.|1//0|4/0A|GOCSPX-|AQ\.Ab|AQVN|y0_A|dckr_[a-z]at_|hv[sbr]\.|glsa_|pypi-AgE|sq0[a-z]{3}-|ntn_|lsv2_[a-z]{2}_'
     '|sntry[a-z]_|tfp_|CFPAT-|CLOJARS_|fio-u-|nf[bcopu]_|fig(?:d|o|or|u|ur|oh|p)_|duffel_(?:live|test)_'
     '|pscale_(?:tkn|pw|oauth)_|sgp_|zpka_|tskey-[a-z]+-|nvapi-|pcsk_|ph[sx]_|tvly-|pplx-|csk-|dp\.(?:[cps]t|sa|rt|scim|audit)\.(?:[a-z0-9_-]+\.)?'
     '|dt0[a-z][0-9]{2}\.|lin_oauth_|cf(?:k|[au]t)_|bedrock-api-key-|xkeysib-|xsmtpsib-|sha256~|AGE-SECRET-KEY-1|PMAK-|HRKU-|BBDC-|AT(?:ATT3|BB|CTT3|STT3)'
     '|NR(?:AK|JS|II|IQ|BR|RA|SP)-|FLWSECK(?:_TEST)?-|EZ[AT]K|AKCp|cmVmdGtu|fo1_|LTAI|AVNS_|nyk_v0_|AIza|SG\.|sm_[aps]at_|shippo_(?:live|test)_|rzp_(?:live|test)_'
     '|access-(?:sandbox|development|production)-|secret-token:|dnkey-|[su]-s4t2(?:ud|af)-|llx-|apify_api_|CCIP(?:AT|RJ)_|jina_|e2b_|napi_|mdb_sa_sk_|cnvca)'
     '[A-Za-z0-9_-]{14,}(?:\.[A-Za-z0-9_-]{6,}|\.[0-9a-z]{2}\.[0-9a-z]{9})*(?:=[A-Za-z0-9]{8}\M|=*)'
     '|(?:glc_|fm[0-9][ar]?_|ops_eyJ|ABSK|dG9rO|(?:xox[a-z](?:\.xox[a-z])?|xapp|xwfp)-)(?:[A-Za-z0-9+/_=-]|%[0-9A-F]{2}){10,}|[MNO][A-Za-z0-9_-]{22,}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{20,})',
     null, null, null,
     'none', 'redact', '[REDACTED]', true,
     'Keys whose prefix nothing else has: of OpenAI, GitHub, GitLab, Slack and some eighty more.'),
    ('api_key_form', 21, 'secret',
     '\m(?:'
     '(?:sk-|live_|sb_secret_|tk-us-|sl\.(?:u\.)?|[bs]\.|[ps]at\.|t1\.)(?=[a-z0-9_-]{0,24}[A-Z])(?=[A-Za-z_-]{0,28}[0-9])[A-Za-z0-9_-]{20,}(?:=*\.[A-Za-z0-9_-]+)*=*|EAA(?=[A-Z0-9_-]*[a-z])[A-Za-z0-9_-]{50,}'
     '|eyJ[A-Za-z0-9_-]{5,}\.\.?[A-Za-z0-9_-]{5,}[A-Za-z0-9_.-]*|eyJrIjoi[A-Za-z0-9+/_-]{20,}=*|(?:bot)?[0-9]{8,10}:AA[A-Za-z0-9_-]{20,}'
     '|(?:sdk|api|mob|rel|sk|waka(?:_[a-z]+)?|pat-[a-z]{2}[0-9])[-_][0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|A3-[A-Z0-9]{6}-[A-Z0-9-]{20,}'
     '|[A-Za-z0-9]+\.atlasv1\.[A-Za-z0-9_=-]+|[A-Za-z0-9_~.]{0,3}[0-9]Q~[A-Za-z0-9_~.-]{20,}|[A-Za-z0-9]{6}_[A-Za-z0-9]+_mmk|[0-9]{13,17}\|[A-Za-z0-9_-]{27}\M|00D[A-Za-z0-9]{12,15}![A-Za-z0-9._]{20,}|AAAA[A-Za-z0-9_-]{7}:APA91[A-Za-z0-9_-]+)',
     null, '{eyj,:aa,.atlasv1.,q~,_mmk,|,:apa91,00d,a3-,sk-,live_,sb_,tk-us-,sl.,s.,b.,at.,t1.,eaa,sdk,api,mob,rel-,rel_,sk_,waka,pat-}', null,
     'none', 'redact', '[REDACTED]', true,
     'JSON Web Tokens, tokens of bots, and other keys that their parts give away.'),
    ('api_key_run', 22, 'secret',
     '\m(?:'
     '(?:[spr]k-|[spr]k_(?:[a-z]{2,5}_|[0-9]{4,9}_){0,2}|r8_|(?:[a-z0-9]+_){0,2}(?:sec|secret|token|tkn|[aops]at|api|apikey|api_key|pw)_|gsk_|xai-|lin_api_|api_org_|npm_|hf_'
     '|pn[bu]_|rdme_|rubygems_|bkua_|vc[aciprk]_|re_(?:[A-Za-z0-9]{8}_)?|fw_|co_|rnd_|ico-|aio_|p8e-|cio|lip_|rpa_|m0-|bb_(?:live|pr|ma)_|ddp_|waka_|tgp_v1_|key_live_|oy2)(?=[A-Za-z]*[0-9])[A-Za-z0-9]{20,}(?![A-Za-z0-9]|[_-][A-Za-z0-9])'
     '|[spr]k_(?:live|test|prod)_[A-Za-z0-9]{16,}'
     '|(?:dapi|pul-|sbp_|shp[a-z]{2,3}_|do[opr]_v1_|(?:live|test)(?:_pub)?_|fc-|sq[apu]_|rootly_|(?:pub)?key-|key_|v1\.0-[0-9a-f]+-|1000\.[0-9a-f]+\.|access_token\$[a-z]+\$[A-Za-z0-9]+\$|[012]/[0-9]{12,}(?:/[0-9]{12,})?:|pat[A-Za-z0-9]{14}\.)[0-9a-fA-F]{31,}'
     '|(?:SK|AC)[0-9a-f]{32}\M|[0-9a-f]{32}(?:-us[0-9]{1,2}|-[0-9a-f]{8}-[0-9a-f]{8}|FFFFNRAL)\M'
     '|(?:A3T[A-Z0-9]|A[KSB]IA|ACCA|A[GN]PA|AIDA|AROA|AIPA|ANVA|APKA|API-|SCW)[A-Z0-9]{16,}\M)',
     null, null, null,
     'none', 'redact', '[REDACTED]', true,
     'Keys with a short prefix and then letters, digits, hexadecimal digits or capitals alone, as many as the service uses: of AWS, Twilio, npm and some fifty more.'),
    ('password_hash', 23, 'secret',
     '[$]2[abxy]?[$][0-9]{2}[$][./A-Za-z0-9]{20,}|[$](?:1[$][^$\s]+[$][./A-Za-z0-9]{20,}|[56789][$](?:rounds=[0-9]+[$])?[^$\s:]+[$][./A-Za-z0-9]{8,}|(?:y|gy|apr1|sha1|md5|bcrypt-sha256|scrypt|yescrypt|pbkdf2[a-z0-9-]*|argon2[a-z]{1,2})[$][^\s"''\\:]{16,})|[$][PH][$][./A-Za-z0-9]{31}|\m(?:argon2|bcrypt(?:_sha256)?|scrypt|pbkdf2(?:_sha[0-9]+)?|pbkdf2:[a-z0-9]+:[0-9]+|scrypt:[0-9:]+|sha1|md5|SCRAM-SHA-[0-9]+)[$][^\s"''\\]{16,}|\{(?:S?SHA(?:256|384|512)?|S?MD5|CRYPT|PBKDF2[A-Z0-9-]*|ARGON2)\}[A-Za-z0-9$+/=.,]{8,}',
     null, '{$2a$,$2b$,$2x$,$2y$,$2$,$1$,$5$,$6$,$7$,$8$,$9$,$y$,$gy$,$apr1$,$sha1$,$md5$,$bcrypt-sha256$,$scrypt$,$yescrypt$,$pbkdf2,$argon2,$p$,$h$,argon2$,bcrypt$,bcrypt_sha256$,scrypt$,pbkdf2$,pbkdf2_sha,pbkdf2:,scrypt:,sha1$,md5$,scram-sha-,"sha}","sha256}","sha384}","sha512}","md5}","crypt}","{pbkdf2","{argon2"}', null,
     'none', 'redact', '[REDACTED]', true, 'Hashes of passwords: crypt, bcrypt, argon2, those of Django, LDAP and others.'),
    ('header_key', 26, 'secret',
     '(?i)(\m(?:x|cf|ocp)-(?!(?:[a-z]+-)?(?:idempotency|cache|surrogate|partition|page|next|cancel|continuation|sync|sort)-)(?:[a-z0-9]+-)*(?:key|token|secret|signature|password|auth|credentials?)["''\\]*[ \t]*[:=][ \t]*["''\\]*(?:bearer[ \t]+|token[ \t]+)?)[^\s"''\\\[,;$<{*][^\s"''\\,;]*',
     null, '{x-,cf-,ocp-}', null,
     'none', 'redact', '\1[REDACTED]', true, 'X-Api-Key, x-functions-key, CF-Access-Client-Secret and their like.'),
    ('cookie', 27, 'secret',
     '(?i)(\m(?:set-)?cookie2?["''\\]*[ \t]*[:=][ \t]*["''\\]*)[^\s="''\\,;[]+=(?:"[^"\r\n]*"|\\+"[^"\\\r\n]*\\+"|[^\r\n"''\\;]*)(?:;[ \t]*[^\s="''\\,;[]+(?:=(?:"[^"\r\n]*"|\\+"[^"\\\r\n]*\\+"|[^\r\n"''\\;]*))?)*|(\m(?:jsessionid|phpsessid|aspsessionid[a-z]*|asp[.]net_sessionid|connect[.]sid|[a-z_]*_session|__(?:host|secure)-[a-z0-9_.-]+)(?:=|%3d))[^\s"''\\\[,;&$<{*][^\s"''\\,;&]*',
     null, '{cookie,sessid,session,connect.sid,__host-,__secure-}', null,
     'none', 'redact', '\1\2[REDACTED]', true, 'Cookies up to the end of the line, and session cookies without the header.'),
    ('bearer_token', 30, 'secret',
     '(?i)(\m(?:bearer(?:\s+|%20|["''\\]*[:=]\s*)["''\\]*|basic(?:\s+|%20)))(?:(?=[A-Za-z._~+/-]{0,60}[0-9=])(?=[0-9._~+/-]{0,60}[A-Za-z])[A-Za-z0-9._~+/=-]{8,}|[A-Za-z0-9._~+/=-]{24,})',
     null, '{bearer,basic}', null,
     'none', 'redact', '\1[REDACTED]', true,
     'HTTP credentials. Plain words and numbers stay: basic economy, bearer of bad news 2024.'),
    ('header', 25, 'secret',
     '(?i)(\m(?:http_)?authorization["''\\]*[ \t]*[:=][ \t]*["''\\]*)(?![a-z0-9_.-]+[:=][ \t])(?:[a-z][a-z0-9-]{1,30}[ \t]+[a-z0-9_.%-]+=(?:[^\r\n"''\\]|\\*"[^"\\\r\n]*\\*")+|(?:[a-z][a-z0-9-]{2,20}[ \t]+)?[^\s"''\\\[,;$<{*][^\s"''\\,;]*)',
     null, '{authorization}', null,
     'none', 'redact', '\1[REDACTED]', true, 'HTTP credentials after their header, whatever the scheme.'),
    ('url_credentials', 50, 'secret',
     '(\m[A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s/?#@"''<>\\]+@|[^\s/:?#@"''<>\\]*:(?![0-9]{1,5}[/?#])[^\s@"''<>\\]*@)(?:[^\s/?#@"''<>\\]*@)*',
     null, '{://}', '://\S*@',
     'none', 'redact', '\1[REDACTED]@', true, 'https://user:password@host'),
    ('webhook', 51, 'secret',
     '(?i)(\mhooks\.slack\.com/(?:services|workflows|triggers)/|\mdiscord(?:app)?\.com/api/webhooks/|\mchat\.googleapis\.com/v1/spaces/[^\s"''<>\\?]*\?|(?:webhook\.office|outlook\.office)\.com/webhook(?:b2)?/|\mhooks\.zapier\.com/hooks/catch/|\.tines\.com/webhook/|\mmaker\.ifttt\.com/trigger/[^\s"''<>\\/]+/(?:json/)?with/key/|\mhook\.[a-z0-9.]*make\.com/|/open-apis/bot/v2/hook/|/cgi-bin/webhook/send\?key=)[A-Za-z0-9][^\s"''<>\\#]*',
     null, '{hooks.slack.com/,/api/webhooks/,chat.googleapis.com/v1/spaces/,.office.com/webhook,hooks.zapier.com/,.tines.com/webhook/,maker.ifttt.com/,make.com/,/v2/hook/,/webhook/send?key=}', null,
     'none', 'redact', '\1[REDACTED]', true, 'Webhooks: whoever has the address may post to it.'),
    ('signed_url', 52, 'secret',
     '(?i)([?&;](?:sig|signature|x-(?:amz|goog|oss|cos)-(?:signature|security-token)|hmac|hdnts|hdnea)=)[^&\s"''<>\\[$*{][^&\s"''<>\\]*|([?&;]code=)(?=[0-9._~/%+-]{0,60}[a-z])(?=[a-z._~/%+-]{0,60}[0-9])[a-z0-9._~/%+-]{10,}',
     null, '{?sig=,&sig=,;sig=,signature=,-security-token=,hmac=,?hdn,&hdn,?code=,&code=,;code=}', null,
     'none', 'redact', '\1\2[REDACTED]', true, 'Signatures in addresses, and the codes of OAuth, which have ten characters or more.'),
    ('command_password', 53, 'secret',
     '(?:(?:(\mcurl\M[^\r\n]*?[ \t]["''\\]*(?:-b|--cookie)[ \t=]*["''\\]*[^\s="''\\;]+=)'
     '|(\m(?:curl|https?|xh|wget|ab|lftp)[ \t](?:[^\r\n]*?[ \t])??["''\\]*(?:-[uUaA]|--(?:proxy-)?user|--(?:proxy-)?auth)[ \t=]*["''\\]*[^\s:"''\\$<{]+[:,]'
     '|\m(?:smbclient|rpcclient|net)[ \t](?:[^\r\n]*?[ \t])??["''\\]*-U[ \t=]*["''\\]*[^\s%"''\\]+%'
     '|\m(?:sshpass|7z[ar]?|rar)[ \t](?:[^\r\n|;&]*?[ \t])??["''\\]*-h?p[ \t=]*["''\\]*'
     '|\m(?:mysql|mariadb)[a-z_-]*[ \t](?:[^\r\n|;]*?[ \t])??["''\\]*-p["''\\]*'
     '|\m(?:(?:docker|podman|nerdctl|buildah|skopeo|helm|oc|cf|az|acr|registry|crane)[ \t]+(?:[a-z-]+[ \t]+){0,2}login|mongo[a-z]*|cqlsh|psexec(?:64)?|rdesktop|evil-winrm|crackmapexec|nxc|hydra|ncftp[a-z]*|psftp|influx|usermod|useradd|ansible-[a-z]+)[ \t][^\r\n|;]*?["''\\]*-p[ \t=]+["''\\]*'
     '|\mredis-cli[ \t](?:[^\r\n|;]*?[ \t])??["''\\]*-a[ \t=]*["''\\]*'
     '|\m(?:sqlcmd|bcp|isql|tsql|osql|ipmitool|zip|unzip)[ \t](?:[^\r\n|;]*?[ \t])??["''\\]*-P[ \t=]*["''\\]*'
     '|\mldap[a-z]+[ \t](?:[^\r\n|;]*?[ \t])??["''\\]*-w[ \t=]*["''\\]*'
     '|[ \t]["''\\]*-(?:pass(?:in|out|wd)?|(?:src|dest)?(?:store|key)pass|pw)[ \t=]+["''\\]*(?:pass:)?(?!(?:env|file|fd|stdin|pass)\M)'
     '|\m(?:[xw]freerdp[0-9]?|sdl-freerdp|mstsc|cmdkey|wmic|winscp|schtasks|net)(?:\.exe)?[ \t](?:[^\r\n|;]*?[ \t])??["''\\]*/(?:p|rp|pw|pass|password):["''\\]*'
     '|\m[Nn][Ee][Tt][ \t]+[Uu][Ss][Ee][ \t][^\r\n]*?/[Uu][Ss][Ee][Rr]:[^\s"'']+["''\\]*[ \t]+["''\\]*(?!/)|\m[Nn][Ee][Tt][ \t]+[Uu][Ss][Ee][Rr][ \t]+[^\s/]+[ \t]+(?!/)'
     '|\m(?:sqlplus|sqlldr|rman|(?:imp|exp)(?:dp)?|(?:CONNECT|connect|CONN|conn|Connect)|jdbc:oracle:[a-z0-9]+:)(?:[ \t]+-[a-zA-Z]+)*[ \t]*["''\\]*[A-Za-z][A-Za-z0-9_$#.]*/(?=[^\s"''\\/@]+@)'
     '|(?:^|[\r\n]|>[ \t]|\mredis-cli[ \t])AUTH[ \t]+(?:[^\s"''\\]+[ \t]+)?["''\\]*(?![A-Z]+\M|[^\r\n\s]*[ \t]+[^\r\n\s])'
     '|\m(?:echo|printf)[ \t]+(?:-[neE]+[ \t]+)?["''\\]*(?:[A-Za-z0-9_.-]+:(?=[^\s"''\\]+(?:\\n)?["''\\]*[ \t]*\|[^\r\n|]*chpasswd)|(?=[^\s"''\\]+(?:\\n)?["''\\]*[ \t]*\|[^\r\n|]*(?:--(?:password-)?stdin|\msudo[ \t][^\r\n|]*-S|--with-token)))'
     '|\mhtpasswd[ \t]+-[a-zA-Z]*b[a-zA-Z]*[ \t]+(?:-[a-zA-Z]+[ \t]+)*[^\s"''\\]+[ \t]+[^\s"''\\]+[ \t]+["''\\]*|\mvault[ \t]+login[ \t]+(?:-[^\s]+[ \t]+)*(?!-)|\mrabbitmqctl[ \t]+(?:add_user|change_password)[ \t]+[^\s]+[ \t]+["''\\]*'
     '|\mwpa_passphrase[ \t]+["''\\]*[^\s"''\\]+["''\\]*[ \t]+["''\\]*))'
     '[^\s"''\\\[$<{*;|&)-][^\s"''\\;|&)@]*(?![^\s"''\\;|&)@])){1,1}?',
     null, null, null,
     'none', 'redact', '\1\2[REDACTED]', true, 'Passwords on command lines: curl -u user:password, sshpass -p password, mysql -ppassword.'),
    ('proxy_credentials', 54, 'secret',
     '(\m(?!(?:sips?|mailto|smtp|xmpp):)[A-Za-z0-9._-]+:)(?![0-9]+@)[^\s:/@"''<>\\,;[][^\s:/@"''<>\\,;]*(?=@[A-Za-z0-9.-]+:[0-9]{2,5}\M)',
     null, '{@}', null,
     'none', 'redact', '\1[REDACTED]', true, 'user:password@host:port without a scheme.'),
    ('quoted_password', 55, 'secret',
     '(?i)(\m(?:password|passwd)[ \t]+(?:not[ \t]+)?(?:(?:i?like|=|<>|!=)[ \t]*)?["''\\]+|\midentified[ \t]+(?:with[ \t]+[^\s]+[ \t]+)?(?:by|as)[ \t]+(?:password[ \t]+)?(?:values[ \t]+)?["''\\]+|\mset[ \t]+password\M[^=;\r\n]*=[ \t]*(?:password\()?["''\\]+'
     '|\m(?:old_)?password\([ \t]*["''\\]+|\mcrypt\([ \t]*["''\\]+|\m(?:set|with|change|update|reset)_?(?:password|passwd|passphrase|pass|secret|token|api_?key)\([ \t]*["''\\]+'
     '|\m[a-z_.]*(?:log_?in|sign_?in|log_?on|authenticate|basic_?auth|credentials?|auth)\([ \t]*["''\\]+[^"''\\\r\n]*["''\\]+,[ \t]*["''\\]+'
     '|\minsert[ \t]+into[^()]*\([^()]*\m(?:password|passwd|pwd|secret|token|api_?key)[^a-z(),]*\)[ \t\r\n]*values[ \t\r\n]*\((?:[^()]*,)?[ \t\r\n]*["''\\]+(?=[^"''\\\r\n()]*["''\\]+[ \t\r\n]*\)))[^\s"''\\[$<{*][^"''\\\r\n]*',
     null, '{password,passwd,passphrase(,pass(,secret(,token(,key(,login(,log_in(,logon(,log_on(,signin(,sign_in(,auth(,authenticate(,credential,identified,crypt(,insert into}', null,
     'none', 'redact', '\1[REDACTED]', true, 'SQL: password ''...'', identified by ''...''; login("name", "...").'),
    ('setting_password', 55, 'secret',
     '(?i)(\mlogin[ \t]+[^\s"''\\]+\s+password[ \t]+|\muser[ \t]+[^\s]+[ \t]+identified[ \t]+by[ \t]+'
     '|\m(?:env|setenv|setx|set[ \t]+-[a-z]+|config(?:ure)?[ \t]+(?:--[a-z]+[ \t]+)?set|config[ \t]+--[a-z]+)[ \t]+["''\\]*[^\s="''\\]*(?:password|passwd|pwd|secret|token|api_?key|access_?key|private_?key|credentials?|passphrase|_pass|_auth)[^\s="''\\]*["''\\]*[ \t]+["''\\]*)(?![&|][&|])[^\s"''\\[$<{*-][^\s"''\\;]*',
     null, '{login,identified,"env ",setenv,setx,"set ",config}', null,
     'none', 'redact', '\1[REDACTED]', true, '.netrc: login name password ...; ENV DB_PASSWORD ..., set -x API_KEY ...; create user x identified by ...'),
    ('device_password', 56, 'secret',
     '(?i)(\msnmp-server[ \t]+community[ \t]+|\m(?:shared-secret|pre-shared-key|key-string|wpa-psk[ \t]+(?:ascii|hex)|(?:tacacs|radius)-server[ \t]+(?:host[ \t]+[^\s]+[ \t]+)?key|isakmp[ \t]+key)[ \t]+["''\\]*(?:[0-9]{1,2}[ \t]+)?["''\\]*|\m(?:password|secret|key)[ \t]+(?:[05-9]|sha512)[ \t]+(?=[^\s]{5})'
     '|\m(?:username[ \t]+[^\s]+(?:[ \t]+privilege[ \t]+[0-9]+)?|enable|nmcli[ \t][^\r\n]*)[ \t]+(?:password|secret)[ \t]+["''\\]*(?=[^\s"''\\]{0,40}[0-9][^\s"''\\]{2}))[^\s"''\\[$<{*][^\s"''\\;]*'
     '|(WIFI:(?:[A-OQ-Z]:(?:[^;\\]|\\+.)*;)*P:)[^;[][^;]*|(\m(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp[0-9]+|sk-(?:ssh|ecdsa)-[a-z0-9@.-]+)[ \t]+AAAA[A-Za-z0-9+/=]*[ \t]+)[^\s"''\\[][^\s"''\\]*',
     null, '{snmp-server,shared-secret,pre-shared-key,key-string,wpa-psk,tacacs-server,radius-server,isakmp,password,"secret ","key ",wifi:,aaaa}', null,
     'none', 'redact', '\1\2\3[REDACTED]', true, 'Passwords of network devices and in QR codes of wireless networks, and the comment after an SSH key, which says whose it is.'),
    ('command_option', 57, 'secret',
     '(?i)((?:(?:^|[^A-Za-z0-9-])--?(?!-?(?:next|page|starting|continuation|stop|pad)-)[a-z-]*(?:password|passwd|passphrase|secret|token|api-?key|access-?key)|--(?:[a-z-]*-)?(?:pass|pw))["''\\,]*\s+["''\\]*)(?!-)[^\s"''\\[$<{*;|&][^\s"''\\]*',
     null, '{word,passwd,phrase,secret,token,key,--pass,-pass,--pw,-pw}', null,
     'none', 'redact', '\1[REDACTED]', true, '--password value'),
    ('spoken_password', 90, 'secret',
     '(?i)(\m(?:password|passcode|passphrase|pin(?: code)?|otp|(?:one-time|verification|security) code)(?: (?:for|to|of) [a-z'' ]{1,30})?\s+(?:is|was)\s*:?\s*["''\\]*)(?!(?:null|none|required|invalid|incorrect|wrong|too|not|missing|expired|empty|reset|the|a|an|being|never|case|in|on)\M)[^\s"''\\[$<{*][^\s"''\\,;]*',
     null, '{password,passcode,passphrase,pin,otp,code}', null,
     'none', 'redact', '\1[REDACTED]', true,
     'My password is ...'),
    ('one_time_code', 91, 'secret',
     '(?i)(\myour (?:(?!error|order|promo|discount|coupon|voucher|zip|postal|area|country|status|exit|tracking|booking|reservation|confirmation|product|gift|dial|reference|flight|zip|post|bar|qr)[a-z0-9''.-]+ ){0,4}code(?: is| was|:)?:? |\m(?:use|enter) (?:(?:the |this )?(?:code|otp|pin) )?(?=[0-9 -]{4,9} (?:to|as|for) (?:[a-z]+ ){0,3}(?:verif|confirm|sign|log|auth|complete|continue|access|reset|your|one|2fa))|\m(?:one[- ]time|verification|security|login|log-in|sign-in|access|auth(?:entication|ori[sz]ation)?|2fa|mfa|two-factor|sms|otp|tan) (?:pass)?(?:code|pin|password)s?[:=]? {0,2}|\m(?:otp|tan|m?tan|totp|2fa|pin)[:=]? {1,2})(?:[0-9]{3}[ -][0-9]{3}|[0-9]{4,8})(?![0-9]|[-./:,][0-9])'
     '|(\m)(?:[a-z]{1,3}-)?(?:[0-9]{3}[ -][0-9]{3}|[0-9]{4,8})(?= is (?:your|the) (?:(?!error|order|promo|discount|coupon|voucher|zip|postal|area|country|status|exit|tracking|booking|reservation|confirmation|product|gift|reference|flight|of|year|day)[a-z0-9''-]+ ){0,5}(?:code|otp|pin|tan|password|passcode)\M)',
     null, '{code,otp,tan,2fa,mfa,pin,password,"use ","enter "}', null,
     'none', 'redact', '\1\2[REDACTED]', true,
     'Your code is 481516; 481516 is your code; use 481516 to sign in.');

-- Rules of one sort share a hint, because PostgreSQL keeps only 32 compiled expressions; their words tell which of them
-- to try. The beginnings of keys are written letter by letter, so that few ways lead on from each character.
update bcp.anonymization_rules set hint =
     '\m(?:(?:1(?://0|000[.])|4/0a|a(?:3-|bsk|ccess(?:-(?:development-|production-|sandbox-)|_token[^a-z0-9=: ,])|ge-secret-|iza|kcp|pi(?:_org_|fy_api_)|q(?:[.]ab|vn)|t(?:[acs]tt3|bb)|vns_)|b(?:bdc-|edrock-api-|kua_)|c(?:cip(?:at_|rj_)|f(?:[au]t_|k_|pat-)|lojars_|mvmdgtu|nvca|sk-)|d(?:api|ckr_|g9ro|nkey-|o[opr]_v1_|p[.](?:audit[.]|[cpr]t[.]|s(?:[at][.]|cim[.]))|t0[a-z][0-9]|uffel_(?:live_|test_))|e(?:2b_|yj|z[at]k)|f(?:i(?:g(?:[dp]_|o(?:_|[hr]_)|u(?:_|r_))|o-u-)|lwseck|m[0-9](?:_|[ar]_)|o1_)|g(?:h[oprsu]_|ithub_pat_|l(?:agent-|c(?:_|bt-)|[dw]t-|f(?:fct-|t-)|imt-|oas-|p[at]t-|rt(?:-|r-)|s(?:a_|oat-))|ocspx-|r134894|sk_)|h(?:rku-|v[brs][.])|jina_|key_live_|l(?:in_(?:api_|oauth_)|lx-|sv2_|tai)|mdb_sa_|n(?:api_|f[bcopu]_|r(?:ak-|br-|i[iq]-|js-|ra-|sp-)|tn_|vapi-|yk_v0_)|ops_eyj|p(?:csk_|h[sx]_|k-lf-|mak-|plx-|scale_|ypi-age)|r(?:ootly_|ubygems_|zp_(?:live_|test_))|s(?:-s4t2|ecret-token:|g(?:[.]|p_)|h(?:a256~|ippo_(?:live_|test_))|k-(?:a(?:dmin-|nt-)|helicone-|kimi-|lf-|or-|proj-|s(?:p-|vcacct-))|m_[aps]at_|ntry[a-z]_|q0[a-z][a-z][a-z]-)|t(?:fp_|gp_v1_|skey-|vly-)|u-s4t2|v1[.]0-|w(?:aka_|hsec_)|x(?:a(?:i-|pp-)|keysib-|ox[a-z][.-]|smtpsib-|wfp-)|y(?:0_a|a29[.])|zpka_)|(?:a(?:3t|at_|[bks]ia|c|gpa|i(?:[dp]a|o_)|n[pv]a|p(?:i(?:[_-]|key_)|ka)|roa)|b(?:[.]|b_)|c(?:io|o_)|ddp_|eaa|f(?:c-|w_)|hf_|ico-|key[_-]|li(?:p_|ve_)|m(?:0-|ob-)|npm_|o(?:at_|y2)|p(?:8e-|at|k[_-]|n[bu]_|u(?:bkey-|l-)|w_)|r(?:8_|dme_|e(?:_|l-)|k[_-]|nd_|pa_)|s(?:[.k]|at[._]|b(?:_|p_)|cw|dk[_-]|ec(?:_|ret_)|hp[a-z][a-z](?:[a-z]_|_)|l[.]|q[apu]_)|t(?:1[.]|est_|k(?:-us-|n_)|oken_)|vc[acikpr]_)[a-z0-9_.-]{16})|_(?:sec|secret|token|tkn|[aops]at|apikey|api|pw)_[a-z0-9]{16}|-us[0-9]|-[0-9a-f]{8}-[0-9a-f]{8}|ffffnral|[.][a-z0-9_-]{6}[.][a-z0-9_-]{16}|[.]atlasv1[.]|q~[a-z0-9_~.-]{16}|_mmk|[|][a-z0-9_-]{27}|:aa[a-z0-9_-]{16}|:apa91|/[0-9]{12}|00d[a-z0-9]{12,15}!'
where name in ('api_key', 'api_key_form', 'api_key_run');
-- One branch each for headers, bearers, commands, proxies, SQL, devices, options and messages, in this order.
update bcp.anonymization_rules set hint =
     '(?:authorization|cookie2?|\m(?:x|cf|ocp)-[a-z0-9-]*(?:key|token|secret|signature|password|auth|credentials?))[^a-z0-9 ]*[ \t]*[:=]|(?:jsessionid|phpsessid|aspsessionid[a-z]*|asp[.]net_sessionid|connect[.]sid|_session|__(?:host|secure)-[a-z0-9_.-]+)(?:=|%3d)'
     '|(?:bearer|basic)(?:%20|[^a-z0-9]+)[a-z0-9._~+/=-]{8}'
     '|\m(?:a(?:b|cr|nsible-[a-z]+|z)|b(?:cp|uildah)|c(?:f|mdkey|qlsh|rackmapexec|rane|url)|docker|evil-winrm|h(?:elm|ttps?|ydra)|i(?:nflux|pmitool|sql)|l(?:dap[a-z]+|ftp)|m(?:ariadb[a-z_-]*|ongo[a-z]*|stsc|ysql[a-z_-]*)|n(?:cftp[a-z]*|erdctl|et|xc)|o(?:c|sql)|p(?:odman|s(?:exec(?:64)?|ftp))|r(?:ar|desktop|edis-cli|egistry|pcclient)|s(?:chtasks|dl-freerdp|kopeo|mbclient|qlcmd|shpass)|tsql|u(?:nzip|ser(?:add|mod))|w(?:freerdp[0-9]?|get|inscp|mic)|x(?:freerdp[0-9]?|h)|zip|7z[ar]?)(?:[.]exe)?[ \t](?:[^\n]*[ \t])?[^a-z0-9\s]*[-/][a-z]|-(?:pass(?:in|out|wd)?|(?:src|dest)?(?:store|key)pass|pw)[ \t=]|\m(?:auth[ \t]+[^\s]|conn(?:ect)?[ \t][^\s/@]*[^\s]*@|e(?:cho[ \t][^\n|]*[|][^\n]*(?:passwd|stdin|sudo|--with-token)|xp(?:dp)?[ \t][^\n]*@)|htpasswd[ \t]+-|imp(?:dp)?[ \t][^\n]*@|net[ \t]+user[ \t]|oracle:[a-z0-9]+:[^\s]*@|printf[ \t][^\n|]*[|]|r(?:abbitmqctl|man)[ \t]|sql(?:ldr|plus)[ \t]|vault[ \t]+login|wpa_passphrase)'
     '|:[^\s:/@,;]+@[a-z0-9.-]+:[0-9]{2}'
     '|passw(?:or)?d(?:[(]|[ \t]+(?:not[ \t]+)?(?:(?:i?like|=|<>|!=)[ \t]*)?[^a-z0-9\s])|\m(?:set[ \t]+(?:password|-[a-z]+[ \t])|identified[ \t]+(?:with|by|as)[ \t]|insert[ \t]+into[^()]*[(][^()]*(?:passw|pwd|secret|token|api_?key)|login[ \t]+[^\s]+\s+password|env[ \t]|set(?:env|x)[ \t]|config(?:ure)?[ \t]+(?:set|-))|(?:pass(?:phrase)?|secret|token|key|log_?[io]n|sign_?in|auth(?:enticate)?|credentials?|\mcrypt)[(]'
     '|snmp-server[ \t]+community|(?:shared-secret|pre-shared-key|key-string|wpa-psk|isakmp[ \t]+key|(?:tacacs|radius)-server[ \t][^\n]*key)[ \t]|(?:password|secret|key)[ \t]+(?:[05-9]|sha512)[ \t]|\m(?:username[ \t]+[^\s]+|enable|nmcli[ \t][^\n]*)[ \t][^\n]*(?:password|secret)[ \t]|wifi:|aaaa[a-z0-9+/=]*[ \t]'
     '|-(?:[a-z-]*(?:word|passwd|phrase|secret|token|key)|-(?:[a-z-]*-)?(?:pass|pw))[^a-z0-9:=]*\s'
     '|(?:word|code|phrase|pin|otp)\s+(?:is|was|for|to|of)|your (?:[^ \n]+ )*code|[0-9]{3} is (?:your|the) |\m(?:use|enter) (?:(?:the |this )?(?:code|otp|pin) )?[0-9 -]{4,9} |\m(?:otp|tan|m?tan|totp|2fa|pin)[:=]? {1,2}[0-9]|(?:code|pin|word)s?[:=]? {0,2}[0-9]{3}'
where name in ('header', 'header_key', 'cookie', 'bearer_token', 'command_password', 'proxy_credentials', 'quoted_password', 'setting_password', 'device_password', 'command_option', 'spoken_password', 'one_time_code');

-- Keys and their values in text. The pattern for each way of writing them is long, so each rule has a statement of its
-- own.
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, value_pattern, validation, action, note) values (
    'named_value',
    54,
    'secret',
    '\m(?:[Nn]ame|[Kk]ey|id|NAME|KEY)["''\\]*\s*[:=]\s*["''\\]*[A-Za-z0-9_.\u0080-\U0010FFFF-]{1,60}["''\\]*\s*,?\s*["''\\]*(?:[Vv]alue|VALUE)["''\\]*\s*[:=]\s*',
    '\\*"[^"\\]*(?:\\*")?|\\*''[^''\\]*(?:\\*'')?|[^\s"''\\,;{}\[\]<>]+',
    'sensitive_key',
    'redact',
    '{"name": "DB_PASSWORD", "value": "x"} cut short, and in YAML.');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, words, validation, action, note) values (
    'html_tag',
    55,
    'secret',
    '<[A-Za-z][^<>]*\mvalue\s*=[^<>]*>?',
    '{value}',
    'tag',
    'redact',
    '<input type="password" value="...">');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, words, validation, action, note) values (
    'sql_insert',
    56,
    'secret',
    '(?i)\minsert\s+into\s+[^\s(]+\s*\([^()]+\)\s*values\s*\((?:''(?:[^'']|'''')*''?|[^''])*',
    '{insert}',
    'insert',
    'redact',
    'insert into users (name, password) values (...)');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, validation, action, note) values (
    'table',
    58,
    'secret',
    '[,\t|;][^\n]*\n',
    'table',
    'redact',
    'Columns of CSV, TSV and Markdown tables whose name is a sensitive key.');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, value_pattern, value_exceptions, validation, action, note) values (
    'key_value',
    60,
    'secret',
    '["''`*\\]*[A-Za-z0-9_$\u0080-\U0010FFFF][A-Za-z0-9_.$\u0080-\U0010FFFF-]*(?: [A-Za-z0-9_.$\u0080-\U0010FFFF-]+){0,3}["''`*\\]*\]?(?: \([^()\n]*\))?["''`*\\]*(?:</?[A-Za-z][^<>]*>)*[ \t]*(?:=>|={1,3}|:=|:|!=|<>|->|\u2192|[ \t]i?like(?=[ \t]))(?:</?[A-Za-z][^<>]*>)*[*_]*(?:[ \t]*(?:[*_`]*|(?:&[A-Za-z0-9_-]+|!!?[a-z]+)[ \t]+)(?=\S)|[ \t\r\n]*(?=["''{\[\\(])|[ \t]*(?:\r?\n[ \t]*){1,2}(?=[^\s:=|]+[ \t]*(?:\r?\n|$)|- )|[ \t]*(?=[|>]))',
    '\\+"(?:[^"\\]|\\+[^"\\])*(?:\\+")?|\\+''(?:[^''\\]|\\+[^''\\])*(?:\\+'')?|(?:(?:[bBrRuUfF@$]{0,2}"(?:[^"\\]|\\.)*"|[bBrRuUfF@$]{0,2}''(?:[^''\\]|\\.)*''|`[^`]*`)[ \t]*(?:[+.&]?[ \t]*|\\?\r?\n[ \t]*))*(?:[bBrRuUfF@$]{0,2}"(?:[^"\\]|\\.)*"?|[bBrRuUfF@$]{0,2}''(?:[^''\\]|\\.)*''?|`[^`]*`?)|\([ \t\r\n]*(?:(?:[bBrRuUfF@$]{0,2}"(?:[^"\\]|\\.)*"|[bBrRuUfF@$]{0,2}''(?:[^''\\]|\\.)*''|`[^`]*`)[ \t]*(?:[+.&]?[ \t]*|\\?\r?\n[ \t]*))*(?:[bBrRuUfF@$]{0,2}"(?:[^"\\]|\\.)*"?|[bBrRuUfF@$]{0,2}''(?:[^''\\]|\\.)*''?|`[^`]*`?)|\{[^{}\[\]]*(?:\}|$)|\[[^{}\[\]]*(?:\]|$)|\{(?!\{)[^{}\[\]]*[{\[].*$|\[[^{}\[\]]*[{\[].*$|\{\{[^{}\n]*\}\}|[A-Za-z_.]+\([^()\n]*\)?|[A-Za-z_.]+\[[^\]\n]*\]?|[|>][-+0-9]*[ \t]*\r?\n(?:[ \t]+[^\r\n]*(?:\r?\n)?)+|-[ \t]+[^\r\n]*(?:\r?\n[ \t]*-[ \t]+[^\r\n]*)*|[A-Z][a-z]{2,8}\.? [0-9]{1,2}(?:st|nd|rd|th)?,? [0-9]{4}|[0-9]{1,2}(?:st|nd|rd|th|\.)?(?: of)? [A-Z][a-z\u00e4\u00e9\u00fb]{2,8}\.?,? [0-9]{2,4}|[A-Z]{2}[0-9]{2}(?: [A-Z0-9]{2,4}){3,8}|[+(]?[0-9][0-9()./*-]*(?: {1,2}[0-9()./*-]*[0-9][0-9()./*-]*){1,6}|(?:ending|ends) (?:in|with) [0-9]{2,6}|(?:[^ \t\r\n"''`\\{\[,;&)}\]<>|]|[)}\]&,;|][A-Za-z0-9!@#%^])[^ \t\r\n"''`\\,;&)}\]<>]*',
    '\x01["''`(]*(?:\$\{[^{}]*\}?|\$\(?[a-z_][a-z0-9_.]*\)?|\{\{[^{}]*\}\}|\{[a-z_][a-z0-9_.]*\}|%\(?[a-z_]+\)?[sd]?|<[a-z][a-z0-9 _-]*>?|\[redacted\]|\*+|x{3,}|\.{2,}|\?|:[a-z_]+)["''`)]*\x01|\x01(?:os\.(?:getenv|environ)|process\.env|import\.meta|(?:env|getenv|config|settings|self|this|args?|opts?|options|params?|request|req|res|response|ctx|input|form|data|body|secrets?|vault|headers|kwargs|row|user|session|state|props|event|cfg|conf|environ|environment|system)(?:[.(\[?]|->))[^\n\x01]*\x01|\x01(?:str|string|text|int|integer|bool|boolean|number|float|any|object|null|none|nil|undefined|true|false|required|optional|missing|invalid|yes|no|on|off|empty|unset|n/a|na|tbd|hidden|masked|varchar[^\x01]*|char|bytes|bytea|uuid|date|datetime|optional\[[^\x01]*|option|secretstr|list|dict|array|not|is|and|or|the|a|an|to|for|from|in|of|by|with|must|should|cannot|can|see|use|please|enter|type|choose|your|my|this|that|was|are|has|will|(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|e?mail(?: ?address)?|phone(?: ?number)?|user(?:name)?|key|api_?key|cookie|auth|pin|ssn|dob|name|value|string))\x01|\x01\{\s*\\*["'']?type\\*["'']?\s*:\s*\\*["'']?[a-z]+\\*["'']?\s*(?:,\s*\\*["'']?(?:description|title|format)\\*["'']?\s*:\s*\\*["''][^"''\\]*\\*["'']\s*)*\}\x01|\x01[^a-z0-9\u0080-\U0010FFFF\x01]*\x01|(?:secret|token|cookie|auth|bearer|credential|passport|key|phone|email|mobile|pin|telephone|fax|born|birth|birthday)s?[*_`]*: ?\x01[a-z]+\x01(?: (?:of|and|the|to|in|for|is|was|are|a|an|on|with|at|by|or)\M| [a-z]+ [a-z]+ )',
    'sensitive_key',
    'redact',
    'key=value, key: value, **Key:** value, "key": "value" in text that is no JSON, or JSON cut short. A list or an object under a sensitive key is masked whole; if its end cannot be found, so is the rest of the text.');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, value_pattern, value_exceptions, validation, action, note) values (
    'label_cell',
    62,
    'secret',
    '(?:["''`*\\]*[A-Za-z0-9_$\u0080-\U0010FFFF][A-Za-z0-9_.$\u0080-\U0010FFFF-]*(?: [A-Za-z0-9_.$\u0080-\U0010FFFF-]+){0,3}["''`*\\]*(?:[ \t]*\|[ \t]*|\t+|[ \t]*(?:</[A-Za-z0-9]+>\s*)+(?:<[A-Za-z][^<>]*>\s*)*(?:(?=[^\s<])|<input[^<>]*value=(?=["'']))))|#[ \t]+["''`*\\]*[A-Za-z0-9_$\u0080-\U0010FFFF][A-Za-z0-9_.$\u0080-\U0010FFFF-]*(?: [A-Za-z0-9_.$\u0080-\U0010FFFF-]+){0,3}["''`*\\]*:?[ \t]*#*\r?\n\r?\n?(?=\S)',
    '(?:[^\s|<>"''`][^\s|<>"''`]+(?=[ \t]*(?:[|<\r\n\t]|$))|["''`*][^|<>\r\n\t]+|[^|<>\r\n\t]*[0-9][^|<>\r\n\t]*)',
    '\x01["''`(]*(?:\$\{[^{}]*\}?|\$\(?[a-z_][a-z0-9_.]*\)?|\{\{[^{}]*\}\}|\{[a-z_][a-z0-9_.]*\}|%\(?[a-z_]+\)?[sd]?|<[a-z][a-z0-9 _-]*>?|\[redacted\]|\*+|x{3,}|\.{2,}|\?|:[a-z_]+)["''`)]*\x01|\x01(?:os\.(?:getenv|environ)|process\.env|import\.meta|(?:env|getenv|config|settings|self|this|args?|opts?|options|params?|request|req|res|response|ctx|input|form|data|body|secrets?|vault|headers|kwargs|row|user|session|state|props|event|cfg|conf|environ|environment|system)(?:[.(\[?]|->))[^\n\x01]*\x01|\x01(?:str|string|text|int|integer|bool|boolean|number|float|any|object|null|none|nil|undefined|true|false|required|optional|missing|invalid|yes|no|on|off|empty|unset|n/a|na|tbd|hidden|masked|varchar[^\x01]*|char|bytes|bytea|uuid|date|datetime|optional\[[^\x01]*|option|secretstr|list|dict|array|not|is|and|or|the|a|an|to|for|from|in|of|by|with|must|should|cannot|can|see|use|please|enter|type|choose|your|my|this|that|was|are|has|will|(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|e?mail(?: ?address)?|phone(?: ?number)?|user(?:name)?|key|api_?key|cookie|auth|pin|ssn|dob|name|value|string))\x01|\x01\{\s*\\*["'']?type\\*["'']?\s*:\s*\\*["'']?[a-z]+\\*["'']?\s*(?:,\s*\\*["'']?(?:description|title|format)\\*["'']?\s*:\s*\\*["''][^"''\\]*\\*["'']\s*)*\}\x01|\x01[^a-z0-9\u0080-\U0010FFFF\x01]*\x01|(?:secret|token|cookie|auth|bearer|credential|passport|key|phone|email|mobile|pin|telephone|fax|born|birth|birthday)s?[*_`]*: ?\x01[a-z]+\x01(?: (?:of|and|the|to|in|for|is|was|are|a|an|on|with|at|by|or)\M| [a-z]+ [a-z]+ )',
    'sensitive_key',
    'redact',
    'A key in one cell and its value in the next, in a table of Markdown, HTML or tabs; a heading and the line after it.');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, value_pattern, value_exceptions, validation, action, note) values (
    'label_prose',
    64,
    'secret',
    '(?:["''`*\\]*[A-Za-z0-9_$\u0080-\U0010FFFF][A-Za-z0-9_.$\u0080-\U0010FFFF-]*(?: [A-Za-z0-9_.$\u0080-\U0010FFFF-]+){0,3}["''`*\\]*[ \t]+(?:(?:-|\u2013|\u2014)[ \t]+|(?:is|was|are)[ \t:]+)["''`*]*(?=[^\s"''`*])|[(\[]\s*["''][A-Za-z0-9_$\u0080-\U0010FFFF][A-Za-z0-9_.$\u0080-\U0010FFFF-]*(?: [A-Za-z0-9_.$\u0080-\U0010FFFF-]+){0,3}["''],\s*(?=["''][^"'']*["'']\s*[)\]]))',
    '[^\s"''`,;<>|]*[0-9][^\s"''`,;<>|]*|["''][^"''\r\n]*[0-9!@#$%^&*][^"''\r\n]*["'']',
    '\x01["''`(]*(?:\$\{[^{}]*\}?|\$\(?[a-z_][a-z0-9_.]*\)?|\{\{[^{}]*\}\}|\{[a-z_][a-z0-9_.]*\}|%\(?[a-z_]+\)?[sd]?|<[a-z][a-z0-9 _-]*>?|\[redacted\]|\*+|x{3,}|\.{2,}|\?|:[a-z_]+)["''`)]*\x01|\x01(?:os\.(?:getenv|environ)|process\.env|import\.meta|(?:env|getenv|config|settings|self|this|args?|opts?|options|params?|request|req|res|response|ctx|input|form|data|body|secrets?|vault|headers|kwargs|row|user|session|state|props|event|cfg|conf|environ|environment|system)(?:[.(\[?]|->))[^\n\x01]*\x01|\x01(?:str|string|text|int|integer|bool|boolean|number|float|any|object|null|none|nil|undefined|true|false|required|optional|missing|invalid|yes|no|on|off|empty|unset|n/a|na|tbd|hidden|masked|varchar[^\x01]*|char|bytes|bytea|uuid|date|datetime|optional\[[^\x01]*|option|secretstr|list|dict|array|not|is|and|or|the|a|an|to|for|from|in|of|by|with|must|should|cannot|can|see|use|please|enter|type|choose|your|my|this|that|was|are|has|will|(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|e?mail(?: ?address)?|phone(?: ?number)?|user(?:name)?|key|api_?key|cookie|auth|pin|ssn|dob|name|value|string))\x01|\x01\{\s*\\*["'']?type\\*["'']?\s*:\s*\\*["'']?[a-z]+\\*["'']?\s*(?:,\s*\\*["'']?(?:description|title|format)\\*["'']?\s*:\s*\\*["''][^"''\\]*\\*["'']\s*)*\}\x01|\x01[^a-z0-9\u0080-\U0010FFFF\x01]*\x01|(?:secret|token|cookie|auth|bearer|credential|passport|key|phone|email|mobile|pin|telephone|fax|born|birth|birthday)s?[*_`]*: ?\x01[a-z]+\x01(?: (?:of|and|the|to|in|for|is|was|are|a|an|on|with|at|by|or)\M| [a-z]+ [a-z]+ )',
    'sensitive_key',
    'redact',
    'Password - value, my token is value, ("password", "value"): only a value that has a digit, or a special character in quotes.');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, value_pattern, value_exceptions, validation, action, note) values (
    'xml_element',
    70,
    'secret',
    '<[A-Za-z][^<>/]{0,80}>',
    '<!\[CDATA\[(?:[^]]|\](?!\]>))*(?:\]\]>)?|(?:<[A-Za-z][^<>/]{0,80}>\s*){0,3}[^<>]+',
    '\x01\s*\x01',
    'sensitive_key',
    'redact',
    '<password>value</password>');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, words, validation, action, replacement, note) values (
    'birth_date',
    100,
    'birth',
    '(?i)(\m(?:date of birth|birth ?date|birthday|d\.?o\.?b\.?s?|born|geboren|geburtsdatum|n\u00e9e? le|nacid[oa])\M\.?(?:[^0-9\n.;,[]{0,40}|[ \t:*|]*\r?\n[ \t*|-]*)(?:\[REDACTED\](?:\s*(?:,|;|&|/|\mand\M)\s*){1,2})*)(?:[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/. ][0-9]{1,2}[-/. ][0-9]{2,4}|[0-9]{8}|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.? +[0-9]{1,2}(?:st|nd|rd|th)?,? +[0-9]{2,4}|[0-9]{1,2}(?:st|nd|rd|th)?(?: of)?[ -]+(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?,?[ -]+[0-9]{2,4})',
    '{birth,born,dob,d.o.b,d.ob,do.b,gebor,geburt,née,né ,nacid}',
    'none',
    'redact',
    '\1[REDACTED]',
    'A date after a word such as born; other dates stay.');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, words, validation, action, note) values (
    'birth_date_before',
    110,
    'birth',
    '(?i)[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}(?= ?[(]?(?:date of birth|birth ?date|birthday|d\.?o\.?b)\M)',
    '{birth,dob,d.o.b,d.ob,do.b}',
    'none',
    'redact',
    'A date before such a word.');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, words, hint, validation, action, replacement, note) values (
    'card_last_four',
    120,
    'card',
    '(?i)(\m(?:card|visa|mastercard|amex|discover|maestro)s?(?: number)? (?:that )?(?:ending|ends|end) (?:in |with )?[*x#.…]*)[0-9]{4}(?![0-9])',
    '{end}',
    'end(?:ing|s)? (?:in |with )?[^a-wyz0-9]*[0-9]',
    'none',
    'redact',
    '\1[REDACTED]',
    'credit card ending in 1234');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, hint, validation, action, replacement, note) values (
    'card_masked',
    122,
    'card',
    '(?i)(\m(?:card|visa|mastercard|amex|discover|maestro)s?(?: number| no\.?)?:? ?(?:[*x#•][*x#.•… -]*|[.…]+)|(?:[*x#•]{4}[ -]?){2,3})[0-9]{4}(?![0-9])',
    '(?:[*x#•…]|[.][.])[ -]?[0-9]{4}',
    'none',
    'redact',
    '\1[REDACTED]',
    'Visa *1234, **** **** **** 1234');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, words, validation, action, replacement, note) values (
    'card_digits_said',
    124,
    'card',
    '(?i)(\mlast (?:four|4) digits(?: (?:of|on|for) [a-z'' ]{2,30})?(?: is| are)?[ :(=*|]{1,6})[0-9]{4}(?![0-9])',
    '{last four digits,last 4 digits}',
    'none',
    'redact',
    '\1[REDACTED]',
    'the last four digits of the card are 1234');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, words, validation, action, replacement, note) values (
    'card_code',
    130,
    'card',
    '(?i)(\m(?:cvv2?|cvc2?|cvn|security code)\M[^0-9\n[]{0,12})[0-9]{3,4}(?![0-9])',
    '{cvv,cvc,cvn,security code}',
    'none',
    'redact',
    '\1[REDACTED]',
    'cvv 123');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, words, validation, action, note) values (
    'email',
    200,
    'email',
    '[A-Za-z0-9_\u0080-\U0010FFFF](?:[A-Za-z0-9._%+''\u0080-\U0010FFFF-]*[A-Za-z0-9_+\u0080-\U0010FFFF-])?(?:@|%(?:25)*40|\\+(?:u00|x)40|&#64;|&#x40;|&commat;)(?![0-9]x\.(?:png|jpe?g|webp|gif|svg)\M)(?:(?:[A-Za-z0-9\u0080-\U0010FFFF-]+(?:\.|%2[Ee]))+[A-Za-z\u0080-\U0010FFFF](?:[A-Za-z0-9\u0080-\U0010FFFF-]*[A-Za-z\u0080-\U0010FFFF])|[A-Za-z][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)*\.[A-Za-z])',
    '{@,%40,%2540,u0040,x40,&#64;,&commat;}',
    'none',
    'hash',
    'Anywhere in a text. react@18.2.0 stays: its last part has no letter.');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, words, validation, action, enabled, note) values (
    'email_strict',
    210,
    'email',
    '^[^\s@]+@[^\s@]+\.[^\s@]+$',
    '{@}',
    'none',
    'hash',
    false,
    'The requirements'' own pattern; off, since it adds only false hits: react@18.2.0, deploy@10.0.0.1, https://a.b/@user/c.html.');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, hint, validation, action, note) values (
    'iban',
    220,
    'iban',
    '((?:^|[^0-9A-Za-z_-]|[^0-9A-Za-z_]-+|^-+))([A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,4})?)(?![0-9A-Za-z_]|-[0-9A-Za-z])',
    '[a-z]{2}[0-9]{2}[ -]?[a-z0-9]{4}[ -]?[a-z0-9]{4}',
    'iban',
    'hash',
    'International bank account numbers that stand alone; country, length and check digits are tested.');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, hint, validation, action, note) values (
    'card',
    230,
    'card',
    '((?:^|[^0-9A-Za-z_.,-]|[^0-9A-Za-z_][.,-]+|^[.,-]+))((?:[2-6][0-9]{12,18}|[2-6][0-9]{3}(?:[ .\t+/-]{1,3}[0-9]{4}){3,}(?:[ .\t+/-]{1,3}[0-9]{1,3})?|3[0-9]{3}[ .\t+/-]{1,3}[0-9]{6}[ .\t+/-]{1,3}[0-9]{4,5}|[2-6](?:[ .\t+/-]{1,3}[0-9]){12,18}))(?![0-9A-Za-z_]|[.-][0-9A-Za-z])',
    '[2-6][0-9]{3}(?:[ .\t+/_-]{1,3}[0-9]{4}(?:[0-9]{2})?[ .\t+/_-]{1,3}[0-9]{4}|[0-9]{9})|[2-6](?:[ .\t+/-]{1,3}[0-9]){5}',
    'luhn',
    'hash',
    '13 to 19 digits that stand alone, in one piece or in the groups of a card, with an issuer''s first digits; Luhn tested.');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, hint, validation, action, note) values (
    'ssn',
    240,
    'ssn',
    '((?:^|[^0-9A-Za-z_.+-]|[^0-9A-Za-z_][.+-]+|^[.+-]+))([0-9]{3}(?:-[0-9]{2}-| [0-9]{2} |\.[0-9]{2}\.|\t[0-9]{2}\t|\+[0-9]{2}\+)[0-9]{4})(?![0-9A-Za-z_]|[.-][0-9A-Za-z])',
    '[0-9]{3}[- .+\t][0-9]{2}[- .+\t][0-9]{4}',
    'none',
    'hash',
    'With separators; nine digits without any are taken for an id, and stay.');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, words, validation, action, note) values (
    'ssn_labelled',
    250,
    'ssn',
    '(?i)(\m(?:ssn|social security)\M[^0-9\n]{0,20})([0-9]{9})(?![0-9])',
    '{ssn,social security}',
    'none',
    'hash',
    'Nine digits after SSN or social security.');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, hint, validation, action, enabled, note) values (
    'ssn_strict',
    260,
    'ssn',
    '^[0-9]{3}-?[0-9]{2}-?[0-9]{4}$',
    '[0-9]{3}-?[0-9]{2}-?[0-9]{4}',
    'none',
    'hash',
    false,
    'The requirements'' own pattern; off, since every id of nine digits matches.');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, hint, validation, action, note) values (
    'phone_international',
    300,
    'phone',
    '((?:^|[^0-9A-Za-z_+.-]|[^0-9A-Za-z_+][.-]+))((?:[+][ (]?|00(?=[1-9][0-9]{0,2}[ .(-]))[1-9][0-9]{0,2}(?:(?:[ ./()\t-]{0,3}[0-9]{1,5}){2,6}|(?:[+][0-9]{1,5}){2,6}))(?![0-9])',
    '[+][ (]?[1-9][0-9 ./()\t+-]{3}|00[1-9][0-9]{0,2}[ .(-]',
    'phone',
    'hash',
    'With + and country code, or 00 and separators.');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, hint, validation, action, note) values (
    'phone_national',
    310,
    'phone',
    '((?:^|[^0-9A-Za-z_.:/+-]|[^0-9A-Za-z_][.:/+-]+))((?:1[ .+-]?)?(?:\([0-9]{3}\)[ .\t+-]?[0-9]{3}[ .\t+-]?|[0-9]{3}[ .\t+-][0-9]{3}[ .\t+-])[0-9]{4}(?: [0-9]{3} [0-9]{3} [0-9]{4})*|(?:\(0[0-9]{1,4}\)|0[1-9][0-9]{0,3})(?:[ /+-]{1,3}[0-9]{2,8}){1,4})(?:(?=(?:x|ext)\.?[0-9])|(?![0-9A-Za-z_:])(?![./-][0-9A-Za-z]))',
    '[0-9]{3}(?:[)][ .\t+-]?[0-9]{3}[ .\t+-]?|[ .\t+-][0-9]{3}[ .\t+-])[0-9]{4}|[(]0[0-9]{1,4}[)]|\m0[1-9](?:[0-9]{0,3}[ /+-]{1,3}(?:[0-9]{4}|[0-9]{3}[ /+-])|[0-9]{1,3}[ /+-]{1,3}[0-9]{2}[ /+-]{1,3}[0-9]{2}|[ /+-]{1,3}[0-9]{2}[ /+-]{1,3}[0-9]{2}(?:[0-9]|[ /+-]{1,3}[0-9]))',
    'phone',
    'hash',
    'North American numbers, and those that begin with 0, both with separators.');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, words, hint, validation, action, note) values (
    'phone_labelled',
    320,
    'phone',
    '(?i)(\m(?:phone|telephone|tel|mobile|cell(?:phone)?|whatsapp|sms|fax)[ .:#=(*|-]{0,6}(?:(?:number|no|nr|num|is|at|to|on)[ .:#=(*|-]{1,3}){0,3})([+]?[0-9](?:[ ./()\t+-]{0,2}[0-9]){6,14})(?![0-9])',
    '{phone,tel,mobile,cell,whatsapp,sms,fax}',
    '(?:phone|tel|mobile|cell|whatsapp|sms|fax)[ .:#=(*|-]{0,6}(?:(?:number|no|nr|num|is|at|to|on)[ .:#=(*|-]{1,3}){0,3}[+]?[0-9]',
    'none',
    'hash',
    'Seven digits or more after a word such as phone.');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, hint, validation, action, enabled, note) values (
    'phone_strict',
    330,
    'phone',
    '^[+]?[0-9\s()-]{10,}$',
    '[0-9\s()-]{10}',
    'none',
    'hash',
    false,
    'The requirements'' own pattern; off, since every id of ten digits and most times match.');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, hint, validation, action, enabled, note) values (
    'ipv4',
    400,
    'ip',
    '\m(?:[0-9]{1,3}\.){3}[0-9]{1,3}\M(?![.0-9])',
    '[0-9][.][0-9]{1,3}[.][0-9]',
    'none',
    'hash',
    false,
    'IPv4 addresses in text; off, since they are often those of servers.');
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, hint, validation, action, enabled, note) values (
    'ipv6',
    410,
    'ip',
    '\m(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4}){1,6}(?![0-9A-Za-z:])',
    '[0-9a-f]:[0-9a-f:]',
    'none',
    'hash',
    false,
    'IPv6 addresses in text; off, since they are often those of servers.');

-- Places, devices, vehicles, wallets and folders.
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, hint, validation, note, action)
select *, 'hash'
from (values
    ('wallet', 140, 'crypto',
     '\m(?:0x[0-9A-Fa-f]{40}|(?:bc1|tb1|ltc1)[02-9ac-hj-np-z]{11,71}|[13LMDT][1-9A-HJ-NP-Za-km-z]{25,34})\M',
     '\m(?:0x[0-9a-f]{40}|(?:bc|tb|ltc)1[02-9a-z]{11}|[13lmdt][1-9a-z]{25,34}\M)',
     'identifier', 'Addresses of Ethereum, and of Bitcoin and similar coins if the checksum is right.'),
    ('home_folder', 142, 'path',
     '((?:^|[^0-9A-Za-z_.~%-])(?:/(?:mnt/)?[a-z])?/Users/+|\m[A-Za-z]:[/\\]+[Uu]sers[/\\]+|(?:^|[^0-9A-Za-z_.~%-])(?:/usr)?/home/+|(?:^|[^0-9A-Za-z])-(?:Users|home)-)((?!(?:ubuntu|ec2-user|runner|runneradmin|vagrant|node|app|appuser|users?|admin|administrator|root|jenkins|circleci|codespace|vscode|git|gitlab-runner|build|builder|buildkite|ci|default|public|shared|all users|coder|jovyan|sandbox|data|services?|deploy|www|nobody|test|guest|postgres|docker|linuxbrew|work|workspace|Public|Shared|Default|Administrator|All Users)(?:$|[^0-9A-Za-z]))[A-Za-z_\u0080-\U0010FFFF][^\s/\\:*?\"''<>|{}$%()&;,`\[\]-]+(?: [A-Z][A-Za-z.]+(?=\\))?)(?=[/\\\"''`:,-]|\s*$)',
     '/home/|/users/+[^0-9/]|:[^a-z0-9 ]{1,4}users|-(?:users|home)-[a-z]',
     'none', 'The name of a person in a home folder; runner, ubuntu and other accounts of machines stay.'),
    ('ssh_comment', 144, 'path',
     '(\m(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp[0-9]{3}|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com) AAAA[A-Za-z0-9+/=]* )([^\s@\"''#]+@[^\s\"''#]+)',
     '(?:ssh-[a-z0-9]{3,8}|nistp[0-9]{3}|openssh[.]com) aaaa',
     'none', 'The user and the computer at the end of a public key.'),
    ('position', 146, 'geo',
     '(^[ ([]*|[^0-9A-Za-z_.,; +-][ ([]*|[A-Za-z:=]{1,4}[ (:=]{1,3}|\m[A-Za-z]+[ (:=]{1,3})(-?[0-9]{1,2}\.[0-9]{4,} {0,2}[,;/] {0,2}-?[0-9]{1,3}\.[0-9]{4,}|[0-9]{1,2}(?:\.[0-9]{3,})? ?\u00b0 ?(?:[0-9]{1,2}[\u2032'' ]{1,2}(?:[0-9.]{1,7}[\u2033\"'' ]{1,3})?)?[NS][ ,;/]{0,3}[0-9]{1,3}(?:\.[0-9]{3,})? ?\u00b0 ?(?:[0-9]{1,2}[\u2032'' ]{1,2}(?:[0-9.]{1,7}[\u2033\"'' ]{1,3})?)?[EWO])(?![0-9A-Za-z]|\.[0-9]| {0,2}[,;/] {0,2}-?[0-9]+(?:\.[0-9]+)?(?![0-9.]*[zm]))',
     '[0-9][.][0-9]{4,} {0,2}[,;/] {0,2}-?[0-9]{1,3}[.][0-9]{4}|[0-9] ?°',
     'identifier', 'Latitude and longitude, four decimals or more, or degrees and N, S, E, W; longer lists of numbers stay.'),
    ('postal_address', 148, 'address',
     '\m[0-9]{1,6}[A-Za-z]?(?:[-/][0-9]{1,5})?,? (?:[NSEW]{1,2}\.? )?(?:(?:[A-Z][A-Za-z.''\u2019-]*|[0-9]{1,3}(?:st|nd|rd|th)) ){1,4}(?:Street|Avenue|Road|Lane|Boulevard|Highway|Parkway|Crescent)\M(?:,? (?:Apt|Apartment|Suite|Ste|Unit|Floor|Flat|#)\.? ?[0-9A-Za-z-]{1,6})?(?:, [A-Z\u00c0-\u017f][A-Za-z\u00c0-\u017f.''-]*(?:[ -][A-Z\u00c0-\u017f][A-Za-z\u00c0-\u017f.''-]*){0,2}(?:,? (?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY])(?![A-Za-z])(?: [0-9]{5}(?:-[0-9]{4})?)?|,? [A-Z]{1,2}[0-9][0-9A-Z]? ?[0-9][A-Z]{2})?)?|\m[0-9]{1,6}[A-Za-z]?(?:[-/][0-9]{1,5})?,? (?:[NSEW]{1,2}\.? )?(?:(?:[A-Z][A-Za-z.''\u2019-]*|[0-9]{1,3}(?:st|nd|rd|th)) ){1,4}(?:Street|St|Avenue|Ave?|Road|Rd|Lane|Ln|Boulevard|Blvd|Highway|Hwy|Parkway|Pkwy|Crescent|Drive|Dr|Court|Ct|Place|Pl|Way|Terrace|Ter|Circle|Cir|Square|Sq|Close|Trail|Trl|Row|Loop|Alley|Gardens|Grove|Mews|Hill|Walk|Broadway|Plaza)\M\.?(?:,? (?:Apt|Apartment|Suite|Ste|Unit|Floor|Flat|#)\.? ?[0-9A-Za-z-]{1,6})?,? [A-Z\u00c0-\u017f][A-Za-z\u00c0-\u017f.''-]*(?:[ -][A-Z\u00c0-\u017f][A-Za-z\u00c0-\u017f.''-]*){0,2},? (?:(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]) [0-9]{5}(?:-[0-9]{4})?|[A-Z]{1,2}[0-9][0-9A-Z]? ?[0-9][A-Z]{2})(?![0-9A-Za-z])|\m[A-Z\u00c0-\u017f][A-Za-z\u00c0-\u017f.''-]*(?:[ -][A-Z\u00c0-\u017f][A-Za-z\u00c0-\u017f.''-]*){0,2}, (?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]) [0-9]{5}(?:-[0-9]{4})?(?![0-9])|\m(?:ZIP|Zip|zip)(?: ?[Cc]ode|CODE)?[:#]? {0,2}[0-9]{5}(?:-[0-9]{4})?(?![0-9A-Za-z]| ?(?:files|bytes|entries|items|[kKMG]B))|\m(?:[Pp]ost(?:al)? ?[Cc]ode|POSTCODE|PLZ|CAP|CEP)[:#]? {1,2}(?:[0-9]{4,5}(?:-[0-9]{3})?|[A-Z]{1,2}[0-9][0-9A-Z]? ?[0-9][A-Z]{2}|[A-Z][0-9][A-Z] ?[0-9][A-Z][0-9]|[0-9]{4} ?[A-Z]{2})(?![0-9A-Za-z])|[A-Z\u00c0-\u017f][a-z\u00df-\u017f-]+(?:stra\u00dfe|strasse|straat|gracht) [0-9]{1,4}(?: ?[a-z]\M)?(?:,? (?:[A-Z]{1,2}-)?[0-9]{4,5}(?: [A-Z]{2}\M)? [A-Z\u00c0-\u017f][A-Za-z\u00c0-\u017f.''-]*(?:[ -][A-Z\u00c0-\u017f][A-Za-z\u00c0-\u017f.''-]*){0,2})?|[A-Z\u00c0-\u017f][a-z\u00df-\u017f-]+(?:str\.|weg|platz|allee|gasse|ring|damm|ufer|laan|plein) [0-9]{1,4}(?: ?[a-z]\M)?,? (?:[A-Z]{1,2}-)?[0-9]{4,5}(?: [A-Z]{2}\M)? [A-Z\u00c0-\u017f][A-Za-z\u00c0-\u017f.''-]*(?:[ -][A-Z\u00c0-\u017f][A-Za-z\u00c0-\u017f.''-]*){0,2}|\m(?:[0-9]{1,4}(?: ?bis| ?ter)?,? )?(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Cc]hemin|[Ii]mpasse|Calle|Avenida|Paseo|Via|Viale|Piazza|Corso|Rua|Travessa) [A-Za-z\u00c0-\u017f''. -]+(?:,? [0-9]{1,4})?,? [0-9]{4,5}(?:-[0-9]{3})? [A-Z\u00c0-\u017f][A-Za-z\u00c0-\u017f.''-]*(?:[ -][A-Z\u00c0-\u017f][A-Za-z\u00c0-\u017f.''-]*){0,2}',
     ' (?:street|avenue|road|lane|boulevard|highway|parkway|crescent)|zip[ a-z:#]*[0-9]{5}|(?:post(?:al)? ?code|plz|cap|cep)[:#]? {1,2}[0-9a-z]|(?:stra\u00dfe|strasse|straat|gracht|str[.]|weg|platz|allee|gasse|ring|damm|ufer|laan|plein) [0-9]|(?:rue|avenue|boulevard|chemin|impasse|calle|avenida|paseo|viale|piazza|corso|rua|travessa) |via [^0-9:;()]+[ ,0-9]*[0-9]{4}|[ ,][a-z]{2} [0-9]{5}| [a-z]{1,2}[0-9][0-9a-z]? ?[0-9][a-z]{2}',
     'none', 'A house number and a street that a word such as Road tells, with a town or without; ZIP 12345.'),
    ('vehicle', 150, 'vehicle',
     '(\m(?:[Pp]lates?|PLATE|Kennzeichen|[Ii]mmatriculation|[Mm]atr\u00edcula|[Kk]enteken|[Vv]ehicle [Rr]egistration)(?: (?:number|no\.?|nr\.?|is))*[ :#]{1,3}(?=[A-Z0-9\u00c4\u00d6\u00dc -]{0,9}[0-9])(?=[0-9 -]{0,6}[A-Z\u00c4\u00d6\u00dc])|(?:^|[^0-9A-Za-z_./+-])(?=[A-HJ-NPR-Z0-9]{13}[0-9]{4}(?![0-9A-Za-z_])))([A-HJ-NPR-Z0-9]{17}|[A-Z\u00c4\u00d6\u00dc0-9]{1,4}(?:[ -]?[A-Z0-9]{1,4}){1,2})(?![0-9A-Za-z_])',
     '\m[a-hj-npr-z0-9]{13}[0-9]{4}\M|\mplates?[ :#]|kennzeichen|immatriculation|matr\u00edcula|kenteken|vehicle registration',
     'identifier', 'Vehicle identification numbers whose check digit is right; number plates after a word such as plate.'),
    ('device_number', 235, 'device',
     '((?:^|[^0-9A-Za-z_.,/+-])(?: *))([0-9]{15}|[0-9]{2}[ -][0-9]{6}[ -][0-9]{6}[ -][0-9])(?![0-9A-Za-z_]|[-.,/][0-9A-Za-z])',
     '[0-9]{15}|[0-9]{2}[ -][0-9]{6}[ -][0-9]{6}[ -][0-9]',
     'identifier', 'IMEI: 15 digits, the first two those of an issuer, Luhn tested.'),
    ('ip_labelled', 390, 'ip',
     '(?i)(\m(?:client|remote|peer|visitor|caller|guest|forwarded-for|real-ip|from)(?:[ _-]?(?:ip|addr(?:ess)?|host))?[ :=\"''\[]{1,4})([0-9]{1,3}(?:\.[0-9]{1,3}){3})(?![0-9a-z_-]|[.:][0-9a-f]*[.:]|\.[0-9a-z]|/[0-9]{1,3}(?![0-9a-z]))',
     '[0-9][.][0-9]{1,3}[.][0-9]{1,3}[.][0-9]',
     'none', 'Any IPv4 address, also a private one, after a word such as client, which says whose it is.'),
    ('ip_public', 395, 'ip',
     '(^ *|[^0-9A-Za-z./_ -] {0,3}|[0-9]:? {1,3}|//|\m(?![Vv]ersi|[Bb]uild|[Rr]elease|[Vv]er\M|[Rr]ev|[Ff]irmware|[Kk]ernel|[Dd]river)[A-Za-z_-]+ {1,3})([0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{4}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{1,4})(?![0-9A-Za-z_-]|[.:][0-9A-Fa-f]*[.:]|\.[0-9A-Za-z]|/[0-9]{1,3}(?![0-9A-Za-z]))',
     '[0-9][.][0-9]{1,3}[.][0-9]{1,3}[.][0-9]|[23f][0-9a-f]{3}:[0-9a-f]{0,4}:[0-9a-f:]*[0-9a-f]',
     'identifier', 'IPv4 and IPv6 addresses that may be a person''s: private ones, networks and versions stay.')
) as rules (name, ordinal, kind, pattern, hint, validation, note);
