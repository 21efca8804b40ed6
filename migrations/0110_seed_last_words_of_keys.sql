-- The last word of a key says what its value is: token_latency_ms is a time, though it begins like a secret. Words of
-- match_mode end count there wherever the sensitive word stands; words of match_mode after count right after it.
alter table bcp.sensitive_key_exceptions drop constraint sensitive_key_exceptions_match_mode_check;
alter table bcp.sensitive_key_exceptions add constraint sensitive_key_exceptions_match_mode_check
    check (match_mode in ('contains', 'word', 'exact', 'before', 'after', 'end'));

comment on column bcp.sensitive_key_exceptions.match_mode is
    'As in bcp.sensitive_keys; or before or after: a word that stands right before or after the sensitive one, as in '
    'has_password and password_policy; or end: the last word of a key, as in token_latency_ms.';

insert into bcp.sensitive_key_exceptions (key_pattern, match_mode, value_type, note)
select k.key_pattern, w.match_mode, 'any', w.note
from (values
    (
        'day hour minute min mins second sec secs ms msec millis millisecond us ns week month year interval duration '
        'timeout delay period timestamp latency uptime elapsed cadence deadline window frequency ttl ttft lifetime age '
        'date datetime time schedule expiry expires',
        'end', 'a time'),
    (
        'count counter counts total size length len bit byte kb mb gb char character digit width height depth limit max '
        'maximum minimum quota capacity threshold ratio rate percent percentage pct score rank level index idx offset '
        'position order priority weight probability prob logprob entropy variance mean avg average median stat '
        'statistics metric metadata histogram distribution volume amount fee price cost discount currency usage '
        'throughput bandwidth retries retry attempt frequency increment step range span batch',
        'end', 'a count or a measure'),
    (
        'status state required optional enabled disabled visible hidden verified unverified confirmed valid invalid '
        'validity expired changed updated created issued sent received opened clicked bounced delivered accepted '
        'rejected declined taken available availability supported allowed denied needed missing present exists found '
        'active inactive locked revoked rotated compromised leaked breached checked matched failed succeeded success '
        'failure error warning subscribed unsubscribed optin optout consent eligible eligibility',
        'end', 'whether it is so'),
    (
        'label placeholder title tooltip icon image photo logo button prompt column '
        'widget component theme color colour style css font layout format template pattern regex schema '
        'type kind mode category version locale language encoding charset algorithm algo method provider strategy '
        'protocol policy policies rule requirement complexity strength permission scope cover footer banner notice '
        'regexp autocomplete tracking spec specification documentation docs',
        'end', 'how it looks or has to be'),
    (
        'threadid callid messageid requestid batchid campaignid templateid eventid jobid queueid logid listid policyid '
        'fieldid columnid formid planid orderid ticketid',
        'end', 'which other thing it is about'),
    (
        'rotation protection acceptance accepted support hours queue battery ring reception cover notice cohort '
        'numbering spacing voltage diameter pitch layout assignment column error prompt interval entropy metadata '
        'probs logprobs embedding embeddings stats statistics volume window offset range span freq '
        'chain logo fee fees amount amounts discount discounts '
        'latency throughput bucket buckets ring found visible hidden max min maximum minimum size sizes bit bits byte '
        'bytes digits chars characters complexity retries retry failure failures failed success click clicks open opens '
        'bounce bounces deliverability newsletter newsletters subscription '
        'subscriptions subscribed unsubscribed unsubscribe optout footer banner banners consent '
        'make maker charger stand booth wallpaper interview interviews tree bill bills camera sensor warranty '
        'repair insurance sales survey surveys banking processor processing apr interest points debt debts surcharge '
        'rewards perks cake party gift gifts greeting greetings reminder reminders '
        'blessing wishes celebration celebrations weekend recipe recipes jar dough samesite httponly secure crumble '
        'menu sauce garden shopper weapon clearance ceremony control photo photos '
        'meter autocomplete autofill toggle visibility reveal strategy machine machines tone '
        'channel channels delay cooldown permissions quota quotas tier tiers region regions '
        'metadata annotations pipeline renewal introspection revocation issuance '
        'audit auditing scanner scanners scan scans detection detected leak leaks',
        'after', 'says something of a sensitive thing')
) as w (keys, match_mode, note)
cross join lateral (select distinct key from string_to_table(w.keys, ' ') as key) as k (key_pattern)
on conflict do nothing;

insert into bcp.sensitive_key_exceptions (key_pattern, match_mode, value_type, note)
select word, 'word', 'any', 'a token of a page, of a text or of a price, and words that are only like a sensitive one'
from string_to_table(
    'timetofirsttoken firsttokentime ttfttoken pertoken pertokens pricepertoken costpertoken secondspertoken mspertoken '
    'themetoken themetokens csstoken csstokens spacingtoken spacingtokens fonttoken typographytoken shadowtoken radiustoken '
    'lexertoken parsertoken lasttokens firsttokens contexttokens windowtokens generatedtokens newtokens tokenchain '
    'randomseed randomseeds rngseed numpyseed torchseed globalseed seedvalue worldseed mapseed samplingseed '
    'births multiplebirths livebirths stillbirths birthrates usernamefield passwordfieldname', ' ') as word
on conflict do nothing;

-- What of these words belongs to a date of birth or to a card stays sensitive.
insert into bcp.sensitive_keys (key_pattern, match_mode, value_type, action, kind, note)
select word, 'word', 'any', 'redact', 'secret', 'a part of a date of birth or of the date of a card'
from string_to_table(
    'dobdate dobday dobmonth dobyear dobtime birthdaydate birthdayday birthdaymonth birthdayyear birthtime birthdatetime timeofbirth '
    'birthtimestamp dayofbirth monthofbirth birthweek birthdateyear birthdatemonth birthdateday dateofbirthyear '
    'dateofbirthmonth dateofbirthday cardexpmonth cardexpyear cardexpirymonth cardexpiryyear cardexpirydate cardexpdate '
    'cardexpirationmonth cardexpirationyear cardexpirationdate ccexpmonth ccexpyear creditcardexpirydate '
    'creditcardexpirationdate creditcardexpiry creditcardexpiration lastfourdigits last4digits lastdigits', ' ') as word
on conflict do nothing;
