-- More keys of people and secrets, in more languages, and keys that are only like them. Words of several meanings count
-- by their value: expiry is a card's where it is a month and a year, swift a bank where it is not 5.9.
insert into bcp.sensitive_keys (
    key_pattern, match_mode, value_type, action, kind, pack, value_pattern, note)
select k.key_pattern, w.match_mode, w.value_type, w.action, w.kind, w.pack, w.value_pattern, w.note
from (values
    (
        'salt challenge',
        'last', 'string', 'redact', 'secret', null,
        '^(?![0-9-]+$)(?=[^\s]*[0-9])[^\s]{8,}$',
        'opaque text, not a word or a date'),
    (
        'session',
        'exact', 'string', 'redact', 'secret', null,
        '^(?![0-9-]+$)(?=[^\s]*[0-9])[^\s]{8,}$',
        'opaque text, not a word or a date'),
    (
        'twofa tfa 2fa',
        'last', 'string', 'redact', 'secret', null,
        '[0-9]',
        'a code, not yes or no'),
    (
        'puk pukcode simpin bindpw bindpass codeverifier codechallenge usercode devicecode clientassertion '
        'saslassertion saslconfig sasljaasconfig jaasconfig jaas keypin authpin',
        'word', 'any', 'redact', 'secret', null,
        null,
        'credentials'),
    (
        'ghpat githubpat gitlabpat adopat azurepat azuredevopspat',
        'word', 'any', 'redact', 'secret', null,
        null,
        'personal access tokens'),
    (
        'pem kubeconfig',
        'last', 'string', 'redact', 'secret', null,
        '[\n]|^[^./~\s]{8,}$',
        'what such a file holds, not where it is'),
    (
        'cardcode cardverificationvalue cardverificationcode cardverification cardvalidationcode',
        'word', 'any', 'redact', 'secret', null,
        null,
        'codes of cards'),
    (
        'expiry exp expdate expirydate expirationdate expiration',
        'last', 'string', 'redact', 'secret', null,
        '^(?:0?[1-9]|1[0-2]) ?[/-] ?(?:20)?[0-9]{2}$',
        'of a card: month and year'),
    (
        'ccexp ccexpiry ccexpiration cardexpdate',
        'word', 'any', 'redact', 'secret', null,
        null,
        'of a card'),
    (
        'swift',
        'last', 'string', 'redact', 'secret', null,
        '^[A-Z0-9]{8}(?:[A-Z0-9]{2,3})?$',
        'a bank, not the language'),
    (
        'aba',
        'exact', 'any', 'redact', 'secret', null,
        '^[0-9A-Z -]{8,12}$',
        'a bank'),
    (
        'beneficiaryaccount payeeaccount payeraccount recipientaccount receiveraccount bankdetails',
        'word', 'any', 'redact', 'secret', null,
        null,
        'accounts of banks'),
    (
        'paypal venmo cashapp cashtag zelle',
        'last', 'string', 'redact', 'secret', null,
        '^(?=.*[0-9@$])[^\s]{5,}$',
        'whose it is, not whether there is one'),
    (
        '银行卡号 银行卡 银行账号 银行账户 信用卡号 信用卡 信用卡號 クレジットカード番号 カード番号 口座番号 카드번호 계좌번호 номеркарты номерсчета رقمالبطاقة '
        'رقمالحساب कार्डनंबर',
        'contains', 'any', 'redact', 'secret', null,
        null,
        'cards and accounts'),
    (
        'numerodecarte numerocartecredit cartecredit kartennr kaartnummer rekeningnummer numerocarta '
        'numerodecartao numerkarty numerkonta kredikarti kartno kortnummer',
        'word', 'any', 'redact', 'secret', null,
        null,
        'cards and accounts'),
    (
        'bornon dogumtarihi datumnarozeni datumrodjenja szuletesidatum szuletesnap tanggallahir fodselsdag '
        'datanasterii syntymapaiva geboortedag датарождения 出生年月 생일 जन्मतिथि تاريخالميلاد ημερομηνιαγεννησης',
        'word', 'any', 'redact', 'secret', null,
        null,
        'dates of birth'),
    (
        'callbackno callbackphone smsto smsphone numerodecelular numerocelular nrtelefonu numertelefonu '
        'puhelin puhelinnumero telefonicislo telefonnicislo ceptelefonu telefonnumarasi nomortelepon nomorhp '
        'nohp sodienthoai matkapuhelin mobiltlf numartelefon',
        'word', 'any', 'redact', 'secret', null,
        null,
        'telephone numbers'),
    (
        'portable gsm tlf telepon',
        'exact', 'any', 'redact', 'secret', null,
        '[0-9].*[0-9].*[0-9].*[0-9].*[0-9].*[0-9]',
        'a telephone, where it has a number'),
    (
        'мобильный мобільний τηλέφωνο κινητό 電話號碼 手机号码 携帯電話 핸드폰 연락처 मोबाइल موبايل تلفن',
        'word', 'any', 'redact', 'secret', null,
        null,
        'telephone numbers'),
    (
        'メール イーメール メアド sahkoposti epostadress epostadresse eposta adresemail имейл',
        'word', 'any', 'redact', 'secret', null,
        null,
        'addresses of mail'),
    (
        'parool wagwoord katalaluan zaporka lykilord',
        'word', 'any', 'redact', 'secret', null,
        null,
        'passwords in other languages'),
    (
        'лозинка парола гасло סיסמא رمزعبور رمزالمرور گذرواژه पासकोड পাসওয়ার্ড கடவுச்சொல் პაროლი գաղտնաբառ '
        'құпиясөз',
        'contains', 'any', 'redact', 'secret', null,
        null,
        'passwords in other languages'),
    (
        'chavedeapi clavedeapi apinyckel apiavain apinokkel kluczapi apianahtari ключapi apiключ ключдоступа '
        'приватныйключ закрытыйключ api密钥 api密鑰 访问密钥 apiキー アクセスキー api키',
        'word', 'any', 'redact', 'secret', null,
        null,
        'keys of services in other languages'),
    (
        'codepin kodpin pinkodi pinkod пинкод пин',
        'word', 'any', 'redact', 'secret', null,
        null,
        'PIN in other languages'),
    (
        'wlankey wpa2key cryptokey doorcode gatecode alarmcode lockcode safecode entrycode keypadcode '
        'lockercode serviceaccountjson wlanschlüssel wlanschluessel ccv cvcode abanumber accno accnumber '
        'accountnbr paymentcard bankcard cardpin atmpin gebdatum fechanac datanasc dtnasc fnac adressemail '
        'adresseemail emailrecipient ccrecipient bccrecipient nummermobil mobilnr kreditkartennr kodeakses',
        'word', 'any', 'redact', 'secret', null,
        null,
        'more of the same'),
    (
        'sess',
        'last', 'string', 'redact', 'secret', null,
        '^(?![0-9-]+$)(?=[^\s]*[0-9])[^\s]{8,}$',
        'opaque text, not a word or a date'),
    (
        '휴대전화 암호',
        'contains', 'any', 'redact', 'secret', null,
        null,
        'a telephone and a password'),
    (
        'cardholdername accountholdername policyholdername passportholdername emergencycontactname '
        'nextofkinname nameofholder nameofaccountholder childname parentname guardianname relativename '
        'travellername travelername participantname attendeename signername signatory',
        'word', 'any', 'hash', 'name', 'names',
        null,
        'names of people'),
    (
        'patient displayname guest passenger beneficiaire titulaire titular cliente paciente kunde patientin',
        'exact', 'string', 'hash', 'name', 'names',
        '^(?!\S*[_/:\\$@0-9{}<>()=]\S*$)(?![a-z]+[.A-Z-]\S*$).*[A-Za-z\u0080-\U0010FFFF]',
        'a name, where it looks like one'),
    (
        'county suburb province district prefecture kommune arrondissement departamento postbus',
        'exact', 'string', 'hash', 'address', 'names',
        null,
        'parts of an address'),
    (
        'locationlat locationlng locationlon geolat geolng geolon gpslat gpslng gpslon homelat homelng '
        'homelon userlat userlng userlon',
        'word', 'any', 'hash', 'geo', 'names',
        null,
        'positions'),
    (
        'geo',
        'exact', 'string', 'hash', 'geo', 'names',
        '[0-9]',
        'a position'),
    (
        'serialno serialnumber',
        'word', 'any', 'hash', 'device', 'names',
        null,
        'devices'),
    (
        'sexuality salary annualincome monthlyincome bodyweight weightkg heightcm pregnant creditscore',
        'word', 'any', 'redact', 'secret', 'names',
        null,
        'private as such'),
    (
        'income',
        'exact', 'any', 'redact', 'secret', 'names',
        null,
        'private as such'),
    (
        'contactperson nomfamille nomdenaissance имяклиента',
        'word', 'any', 'hash', 'name', 'names',
        null,
        'names of people'),
    (
        'ownername',
        'exact', 'string', 'hash', 'name', 'names',
        '^(?!\S*[_/:\\$@0-9{}<>()=]\S*$)(?![a-z]+[.A-Z-]\S*$).*[A-Za-z\u0080-\U0010FFFF]',
        'a name, where it looks like one'),
    (
        'homestreet addrline shipaddress shiptoaddress billaddress billtoaddress',
        'word', 'any', 'hash', 'address', 'names',
        null,
        'parts of an address'),
    (
        'currentlocation',
        'word', 'any', 'hash', 'geo', 'names',
        null,
        'positions'),
    (
        'devicemac wifimac hwaddr',
        'word', 'any', 'hash', 'device', 'names',
        null,
        'devices'),
    (
        'ipaddress ipaddr sourceip srcip peerip peeraddress originip',
        'word', 'any', 'hash', 'ip', 'names',
        null,
        'addresses of networks'),
    (
        'ip',
        'exact', 'string', 'hash', 'ip', 'names',
        '[0-9]',
        'addresses of networks'),
    (
        'marital',
        'exact', 'any', 'redact', 'secret', 'names',
        null,
        'private as such'),
    (
        'dlnumber dlno fein taxfilenumber pisnumber rationcard rationcardnumber citizenshipnumber '
        'residencecard residentcard iddocument healthinsurancenumber voteridnumber civilidnumber nricno '
        'fiscalcode ahvnummer',
        'word', 'any', 'hash', 'nationalid', 'national_ids',
        null,
        'national numbers'),
    (
        'pis',
        'exact', 'any', 'hash', 'nationalid', 'national_ids',
        '[0-9]',
        'a number of Brazil'),
    (
        '社会保障号 社保号 駕照 驾照 驾驶证号 パスポート番号 旅券番号 免許証番号 여권번호 운전면허번호 رقمجوازالسفر الرقمالوطني nationalidentifier '
        'taxcode uan uannumber hospitalnumber medicalid insuranceno ausweisnr personnr',
        'word', 'any', 'hash', 'nationalid', 'national_ids',
        null,
        'national numbers')
) as w (keys, match_mode, value_type, action, kind, pack, value_pattern, note)
cross join lateral string_to_table(w.keys, ' ') as k (key_pattern)
on conflict do nothing;

-- Opaque text is a signature already where it is short.
update bcp.sensitive_keys set value_pattern = '^(?!(?:rsa|ecdsa|hmac|ed|sha|RSA|ECDSA|HMAC|SHA)[A-Za-z0-9_-]{1,16}$)(?=[^0-9]*[0-9])[A-Za-z0-9+/=_%-]{8,}$|^[A-Za-z0-9+/=_%-]{16,}$'
where key_pattern = 'signature' and value_pattern = '^[A-Za-z0-9+/=_%-]{16,}$';

-- The name of a file or of a region is no mailbox: {"from": "a.py", "to": "us-east-1"}.
update bcp.sensitive_keys set value_pattern = '^(?!.*\.(?:py|js|ts|go|rs|rb|md|txt|[ct]sv|json|ya?ml|toml|html?|s?css|java|[jt]sx|sql|sh|c|h|cc|[ch]pp|php|xml|png|jpe?g|gif|svg|webp|pdf|docx?|xlsx?|pptx?|zip|gz|tar|log|ini|cfg|conf|env|lock|ipynb|parquet|mp[34]|wav)$|[a-z]{2,4}-[a-z]+-[0-9][a-z]?$)' || substr(value_pattern, 2)
where value_pattern = '^[A-Za-z][A-Za-z0-9]*(?:[._-][A-Za-z0-9]+)+$' and key_pattern in ('from', 'to');

insert into bcp.sensitive_key_exceptions (key_pattern, match_mode, value_type, note)
select k.key_pattern, w.match_mode, w.value_type, w.note
from (values
    (
        'csrfprotection changetoken secretariat secretariats credentialed births randomseed randomseeds '
        'rngseed seedvalue numseeds passwordsecretref passwordsecretname tokensecretref passwordkeyref '
        'existingsecret existingsecretname existingsecretkey existingsecretpasswordkey secretkeyname pinid '
        'pinids phoneid phoneids cookieid cookieids passwordid cellularautomaton cellularautomata '
        'cellularnetwork cellulartower cookiemaxage cookiesmaxage passwordmaxage passwordminage '
        'csrfheadername tokenheadername authheadername xsrfheadername xsrfcookiename credentialprocess '
        'totpdigits otpdigits birthdayparty birthdaygift birthdaycake phonebook phonebooks phonecase '
        'phonecall phonecalls phonescreen',
        'word', 'any', 'only like a sensitive key'),
    (
        'rotation rotations protection accepted acceptance bucket family notice region footer scanning '
        'complexity visible ratio left saved start size open click change changes update updates failure '
        'failures failed theme retry retries',
        'after', 'any', 'says something about it'),
    (
        'cookies secrets credentials emails phones apikeys birthdays',
        'word', 'number', 'how many')
) as w (keys, match_mode, value_type, note)
cross join lateral string_to_table(w.keys, ' ') as k (key_pattern)
on conflict do nothing;
