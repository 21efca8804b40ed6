-- Secrets as arguments of code and commands, as sentences of other languages tell them, and in pairs with a user. A rule
-- that a team has changed keeps its pattern: what is replaced is not in it then.

-- What stands between quotes or after an option, where a word before says that it is a secret:
-- page.fill("#password", "x"), process.env.TOKEN || "x1", variable "db_password" { default = "x" }, openssl enc -k x.
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, hint, validation, action, replacement, note)
values (
    'argument', 58, 'secret',
    -- {1,1}? makes all of it take the shortest match: the next -p of a line, not its last. The value is all that
    -- stands between quotes, and elsewhere a word.
    '(?i)(?:('
    '(?:\mConvertTo-SecureString[ \t]+(?:-String[ \t]+)?'
    '|\mpassphrase[ \t]+'
    '|\m(?:fill(?:_in)?|type|set_?value|enter)\([ \t]*["''`\\]+[^\r\n(),]*(?:password|passwd|pwd|passphrase|passcode|secret|token|api[_-]?key)[^a-z0-9\s]{1,4},[ \t]*(?:with:[ \t]*)?'
    '|(?:password|passwd|pwd|passphrase|passcode|secret|token|api[_-]?key)[^a-z0-9\s]{1,4}\.(?:fill|type|send_?keys|press_?sequentially|set_?value|input|val)\([ \t]*'
    '|#define[ \t]+[a-z0-9_]*(?:password|passwd|pwd|_pass|secret|token|api_?key)[ \t]+'
    '|\m[a-z0-9_.]*(?:password|passwd|secret|token|api_?key)["''\])]{0,2}[ \t]*(?:\|\||\?\?)[ \t]*(?=["''`][^"''`\r\n]*[0-9])'
    '|\mvariable[ \t]+["''\\]+[^"''\\]*(?:password|passwd|secret|token|api_?key|access_?key|private_?key|passphrase)["''\\]+[ \t]*\{[^{}]*?\mdefault[ \t]*=[ \t]*'
    '|\m(?:check|verify|compare|match(?:es)?|hash|is_?valid)_?(?:password|passwd|passphrase)\([ \t]*'
    '|\m(?:getConnection|mysqli?_connect|mysqli|createConnection|PDO)\([^,()\r\n]*,[ \t]*["''][^"''\r\n]*["''],[ \t]*'
    '|\m(?:string|auto)[ \t]+[a-z_]*(?:password|secret|token|api_?key)[({]'
    '|\mexpect[ \t]+["''{\\]+[^\r\n"''{}\\]*passw[^\r\n"''{}\\]*["''}\\]+[\s;]*send[ \t]+(?:--[ \t]+)?'
    '|<meta[^<>]*\mname=["''\\]+[^"''<>\\]*(?:password|secret|token|api[_-]?key)["''\\]+[^<>]*\mcontent='
    ')["''`\\]+'
    '|(?:\mopenssl[ \t]+enc\M[^\r\n|;[]*?[ \t]-k[ \t]+'
    '|\msnmp[a-z]+[ \t](?:[^\r\n|;[]*?[ \t])??-c[ \t]*'
    '|\m(?:twine|schtasks)[ \t][^\r\n|;[]*?[ \t](?:-p|/r?p)[ \t]+'
    '|\mrclone[ \t][^\r\n|;[]*?[ \t](?:pass|password)[ \t]+'
    '|\m(?:requirepass|masterauth)[ \t]+(?!(?:in|is|to|for|and|or|the|not|on|with|from|has|must|should|can|directive|option|setting)\M)'
    ')["''\\]*'
    '|\mKey \([^()\r\n]*(?:password|token|secret|phone|mobile|ssn|birth|dob)[a-z_]*\)=\('
    '|[a-z0-9.*-]+:(?:5432|5433|6432|\*):[^\s:"''\\]{1,63}:[^\s:"''\\]{1,63}:'
    '|\m(?:invalid|incorrect|wrong|expired)(?: [a-z]+)? (?:api[ _]key|token|password|secret)(?: (?:provided|given|used|received|supplied))?[:=]? ["''`]?'
    '(?=[^\s"''`]*[0-9])(?=[^\s"''`]*[a-z])(?=[^\s"''`]{6})(?![a-z]*[:/(])'
    '|\m(?:token|api key|key|secret) ["''`]?(?=[a-z_.-]*[0-9])(?=[0-9_.-]*[a-z])(?=[a-z0-9_-]{8}[a-z0-9_-]*["''`]? (?:(?:has )?(?:expired|been revoked)|was (?:revoked|leaked)|is (?:expired|leaked|revoked)))'
    ')(?:(?<=["''`\\])[^\s"''`\\[$<{*),][^"''`\\\r\n]*(?![^"''`\\\r\n])|(?<!["''`\\])[^\s"''`\\[$<{*),][^"''`\\\s;]*(?![^"''`\\\s;]))){1,1}?',
    'securestring|passphrase[ \t]+[^a-z0-9\s]|(?:passwo?r?d|pwd|passphrase|passcode|secret|token|api[_-]?key)[^a-z0-9\s]{1,5}(?:,[ \t]*[a-z:]*[ \t]*|[.][a-z_]+[(][ \t]*)[^a-z0-9\s]'
    '|define[ \t]+[a-z0-9_]*(?:passw|pwd|_pass|secret|token|key)|(?:password|passwd|secret|token|key)[^a-z0-9\s]{0,3}[ \t]*(?:[|][|]|[?][?])'
    '|variable[ \t]+[^a-z0-9\s]+[a-z0-9_-]*(?:passw|secret|token|key|phrase)|(?:check|verify|compare|match|matches|hash|valid)_?(?:passw|passphrase)[a-z]*[(]'
    '|getconnection[(]|mysqli?(?:_connect)?[(]|createconnection[(]|pdo[(]|(?:string|auto)[ \t]+[a-z_]*(?:password|secret|token|key)[({]'
    '|expect[ \t]+[^a-z0-9\s]|<meta[ \t][^<>]*(?:passw|secret|token|key)|openssl[ \t]+enc|snmp[a-z]+[ \t]|twine[ \t]|schtasks|rclone[ \t]'
    '|key [(][^()]*(?:password|token|secret|phone|mobile|ssn|birth|dob)[a-z_]*[)]=|requirepass|masterauth|:(?:5432|5433|6432|[*]):[^ :]+:[^ :]+:|(?:invalid|incorrect|wrong|expired) [a-z _]*(?:key|token|password|secret)[ :=]'
    '|(?:token|key|secret) [^ ]+ (?:has|was|is|expired)',
    'none', 'redact', '\1[REDACTED]',
    'A secret as an argument, a default or a field that is filled in: page.fill("#password", "x").');

-- login bob:x1y2z3, bob/x1y2z3 (password), use "x1y2z3" as the password, and the words for passwords and codes in
-- languages that write them without a space.
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, hint, validation, action, replacement, note)
select
    'told_pair', 90, 'secret',
    '(?i)(\m(?:creds?|credentials?|log-?in|logins|zugangsdaten|user/pass(?:word)?|username/password)(?: (?:is|are|with|as|info|details))?[:=]? +[^\s:/,;(){}<>"''`=]+(?: ?/ ?|:| : ))'
    || w.no_secret || '(?=[^\s"''`,;/]*[a-z][^\s"''`,;/]*[0-9])[^\s"''`,;:/<>{}()\[$]{6,}(?![/:(=])'
    '|(\m[a-z0-9._-]{2,40} ?[/:] ?)[^\s"''`,;:/<>{}()\[$]{6,}(?= [(](?:the )?(?:password|passw?|pw|pwd)[)])'
    '|(\m(?:use|using|with|enter|is|unlock with) ["''`]?)' || w.no_secret ||
    '(?=[^\s"''`,;/]*[0-9])(?=[^\s"''`,;/]*[a-z])[^\s"''`,;:/<>{}()\[$]{6,}(?=["''`]? (?:as|for) (?:the |your |my |a )?(?:[a-z]+ )?(?:password|passphrase|passcode|pw)\M)'
    '|(\m(?:mot de passe|contrase[n\u00f1]a|clave|senha|password|wachtwoord|has\u0142o|parola|passwort|kennwort)(?: (?:do|da|de|del|della|du|des|voor|f\u00fcr|for|of) [^\s]{1,20}){0,2} (?:est|es|\u00e9|\u00e8|is|to|ist) (?:[\u00ab\u201c\u201e] ?)?|\m(?:user(?:name)?|login|email) [^\s,]{1,40},? and (?:the )?(?:password|pass|pw) '
    '|\m(?:set|chang(?:ed?|ing)|updated?|reset) (?:[a-z]+ ){1,3}(?:password|passphrase|passcode|secret) (?:to|from|from \[REDACTED\] to) ["''`]?)'
    || w.no_secret || '(?=[^\s"''`,;/]*[0-9])(?=[^\s"''`,;/]*[a-z])[^\s"''`,;:/<>{}()\[$]{6,}'
    '|((?:\u30d1\u30b9\u30ef\u30fc\u30c9|\u6697\u8a3c\u756a\u53f7|\u30c8\u30fc\u30af\u30f3|\u30b7\u30fc\u30af\u30ec\u30c3\u30c8)(?:\u306f|\u304c|\u3092)[ \u3000\u300c\u300e:"''`]*'
    '|(?:\u5bc6\u7801|\u5bc6\u78bc|\u53e3\u4ee4|\u4ee4\u724c|\u5bc6\u94a5|\u5bc6\u9470)(?:\u662f|\u4e3a|\u70ba|\u6539\u6210|\u8bbe\u4e3a|\u8a2d\u70ba)[ \u3000\u201c\u300c:"''`]*'
    '|(?:\ube44\ubc00\ubc88\ud638|\ube44\ubc88|\uc554\ud638|\ud1a0\ud070)(?:\ub294|\uc740|\uac00|\uc774|\ub97c)[ :"''`]*)[!#%&+-9=?-Z^-~][!#%&*-9=?-Z^-~]{3,}'
    '|((?:best\u00e4tigungs|verifizierungs|sicherheits|einmal|anmelde)-?code(?: lautet| ist)?:? |\mcode de (?:v[\u00e9e]rification|confirmation|s[\u00e9e]curit[\u00e9e]) ?(?:est)? ?:? ?'
    '|\mc[o\u00f3]digo de (?:verificaci[o\u00f3]n|seguridad|seguran\u00e7a|verifica\u00e7\u00e3o|acceso|acesso)(?: es| \u00e9)?:? |\mcodice di (?:verifica|sicurezza)(?: \u00e8)?:? |\mverificatiecode(?: is)?:? '
    '|[\u041a\u043a]\u043e\u0434 \u043f\u043e\u0434\u0442\u0432\u0435\u0440\u0436\u0434\u0435\u043d\u0438\u044f:? |\u9a8c\u8bc1\u7801(?:\u662f|\u4e3a)?[:\uff1a]? ?|\u8a8d\u8a3c\u30b3\u30fc\u30c9(?:\u306f)?[:\uff1a]? ?|\uc778\uc99d\ubc88\ud638(?:\ub294)?[:\uff1a]? ?)[0-9]{4,8}(?![0-9])',
    '(?:creds?|credentials?|log-?in|logins|zugangsdaten|user/pass(?:word)?|username/password)[a-z ]*[:=]? +[^ ]+ ?[/:]|[0-9][^ ]* (?:[(](?:the )?p|(?:as|for) [a-z ]*p)'
    '|(?:mot de p|contrase|clave|senha|password|wachtw|has\u0142o|parola|passwort|kennwort)[^0-9=:]{0,48}[0-9]|and (?:the )?pw [^0-9]*[0-9]|(?:passphrase|passcode|secret) (?:to|from) [^0-9]*[0-9]|and (?:the )?pass [^0-9]*[0-9]'
    '|\u30d1\u30b9\u30ef\u30fc\u30c9|\u6697\u8a3c\u756a\u53f7|\u30c8\u30fc\u30af\u30f3|\u30b7\u30fc\u30af\u30ec\u30c3\u30c8|\u5bc6\u7801|\u5bc6\u78bc|\u53e3\u4ee4|\u4ee4\u724c|\u5bc6\u94a5|\u5bc6\u9470|\ube44\ubc00\ubc88\ud638|\ube44\ubc88|\uc554\ud638|\ud1a0\ud070'
    '|(?:igungs|ierungs|heits|einmal|anmelde)-?code|code de [vcs]|digo de [vsa]|codice di|verificatiecode|\u043f\u043e\u0434\u0442\u0432\u0435\u0440\u0436\u0434|\u9a8c\u8bc1\u7801|\u8a8d\u8a3c\u30b3\u30fc\u30c9|\uc778\uc99d\ubc88\ud638',
    'none', 'redact', '\1\2\3\4\5\6[REDACTED]',
    'A password beside its user, and passwords and codes as sentences of other languages tell them.'
from (
    -- The names of versions and places that are no secrets, as told_password has them.
    select substring(pattern from '\(\?!\[0-9\]\{4\}.*?\)\[-_\]\?\[0-9\]\)') as no_secret
    from bcp.anonymization_rules
    where name = 'told_password'
) as w
where w.no_secret is not null;

insert into bcp.anonymization_rules (name, ordinal, kind, pattern, words, validation, action, note)
values (
    'email_spelled', 212, 'email',
    -- Where no dot is spelled, only ends of addresses count: if (at) this.pos = at;
    '\m[A-Za-z0-9][A-Za-z0-9._%+-]* ?[[({] ?(?:at|AT|@) ?[])}] ?[A-Za-z0-9-]+'
    '(?:(?:(?:\.| ?[[({] ?(?:dot|DOT|\.) ?[])}] ?)[A-Za-z0-9-]+)* ?[[({] ?(?:dot|DOT) ?[])}] ?[A-Za-z]{2,}'
    '|(?:\.[A-Za-z0-9-]+)*\.(?:com|org|net|edu|gov|io|dev|info|biz|eu|de|uk|fr|es|it|nl|ch|at|be|pl|se|no|dk|fi|pt|br|jp|cn|ca|au|us|co|ie|cz)\M(?![.(=]))',
    array['[at', '(at', '{at', '[ at', '( at', '[@', '(@'], 'none', 'hash',
    'An address that is written for people: jane [at] example [dot] com.');
