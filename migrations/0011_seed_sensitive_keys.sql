-- Which keys hold personal data or secrets, and which only look like it. A list of words makes one row per word.
create function bcp_internal.add_keys(
    p_words text, p_mode text, p_type text default 'any', p_value text default null, p_action text default 'redact',
    p_kind text default 'secret', p_note text default null)
returns void
language sql
set search_path = pg_catalog, pg_temp
as $func$
    insert into bcp.sensitive_keys (key_pattern, match_mode, value_type, value_pattern, action, kind, note)
    select word, p_mode, p_type, p_value, p_action, p_kind, p_note from regexp_split_to_table(p_words, '\s+') as word
$func$;

-- Passwords, and what people call them.
select bcp_internal.add_keys(
    'password', 'contains', p_note => 'named by the requirements');
select bcp_internal.add_keys(
    'passwd passphrase passcode passwort kennwort', 'contains');
select bcp_internal.add_keys(
    'passw0rd pswd pwd psw passwrd userpass dbpass smtppass passkey loginpass rootpw dbpw',
    'word');
select bcp_internal.add_keys(
    'pass', 'last', p_type => 'string', p_note => 'user_pass, dbPass; a number is a count of what passed');
select bcp_internal.add_keys(
    'pw pwds pins', 'last');
select bcp_internal.add_keys(
    'unlockcode loginsecret', 'word');
select bcp_internal.add_keys(
    'auth', 'exact');

-- Passwords in other languages.
select bcp_internal.add_keys(
    'motdepasse contrasena senha wachtwoord losenord lozinka parola adgangskode salasana haslo jelszo heslo',
    'contains');
select bcp_internal.add_keys(
    'clave sifre passord contrasenya matkhau katasandi', 'word');
select bcp_internal.add_keys(
    'пароль 密码 密碼 口令 パスワード 暗証番号 비밀번호 كلمةالمرور كلمةالسر סיסמה पासवर्ड รหัสผ่าน κωδικοσ',
    'contains');

-- Secrets, tokens, keys of services.
select bcp_internal.add_keys(
    'secret token apikey accesskey accesskeyid privatekey signingkey encryptionkey decryptionkey masterkey sshkey
     accountkey sharedkey sessionkey authkey authcode bearer authorization credential connectionstring authtoken',
    'contains');
select bcp_internal.add_keys(
    'creds cred hmac hmackey appkey apikeyid apppassword serverkey clientkey userkey adminkey servicekey
     functionskey functionkey subscriptionkey storagekey webhookkey licensekey licencekey devkey consumerkey
     securitykey cryptkey aeskey rsakey gpgkey pgpkey pemkey deploykey hostkey secretaccesskey serviceaccountkey
     keypassword apisecret sasurl sastoken presharedkey psk wpakey wifikey networkkey jwt jwe jws oauth
     authheader nonce sig',
    'word');
select bcp_internal.add_keys(
    'csrftoken xsrftoken csrf xsrf', 'contains');
select bcp_internal.add_keys(
    'signature', 'word', p_type => 'string', p_value => '^[A-Za-z0-9+/=_%-]{16,}$', p_note => 'of a request; the signature of a function does not match');
select bcp_internal.add_keys(
    'amzsignature googsignature', 'contains', p_note => 'the signature of a URL');
select bcp_internal.add_keys(
    'securityquestion securityquestions securityanswer securityanswers secretanswer secretquestion passwordhint
     passwordanswer challengeanswer recoveryanswer mothersmaidenname mothermaidenname maidenname maidennames mfa
     mfacode twofactorcode tfacode 2facode otp totp hotp otpcode onetimecode smscode logincode accesscode
     accesscodes pin pincode pinnumber pinno backupcode backupcodes magiclink resetlink invitecode',
    'word');
select bcp_internal.add_keys(
    'verificationcode recoverycode recoverykey seedphrase mnemonicphrase recoveryphrase',
    'contains');
select bcp_internal.add_keys(
    'mnemonic mnemonics walletseed', 'word');
select bcp_internal.add_keys(
    'seed', 'last', p_type => 'string', p_note => 'a number is the start of a generator of random numbers');
select bcp_internal.add_keys(
    'cookie phpsessid jsessionid aspsessionid', 'contains');
select bcp_internal.add_keys(
    'connectsid sessid sid sessionid sessionids sessioncookie databaseurl databaseuri dburl dburi dbdsn
     databasedsn mongourl mongouri mongodburl mongodburi redisurl redisuri postgresurl postgresuri postgresqlurl
     pgurl mysqlurl mysqluri jdbcurl amqpurl amqpuri rabbitmqurl brokerurl celerybrokerurl sqlalchemydatabaseuri
     sentrydsn smtpurl webhookurl webhookuri webhooksurl slackwebhook slackwebhookurl connstring connstr
     connectionstr connectionuri connectionurl dsn',
    'word');

-- E-mail.
select bcp_internal.add_keys(
    'email', 'contains', p_note => 'named by the requirements');
select bcp_internal.add_keys(
    'mailaddress mailto emailid correo correoelectronico courriel epost adresseelectronique',
    'word');
select bcp_internal.add_keys(
    'почта 邮箱 郵箱 電子郵件 电子邮件 メールアドレス 이메일', 'contains');
select bcp_internal.add_keys(
    'to from cc bcc mail sender recipient recipients replyto mailfrom emailto emailfrom ccto envelopefrom
     envelopeto returnpath deliveredto',
    'exact', p_type => 'string', p_value => '^[A-Za-z][A-Za-z0-9]*(?:[._-][A-Za-z0-9]+)+$', p_action => 'hash', p_kind => 'user', p_note => 'a mailbox or a person, such as anna.kim; a place, a date or a single word stays');
select bcp_internal.add_keys(
    'login loginname username userlogin loginid screenname userhandle', 'exact', p_type => 'string', p_value => '^\S+$', p_action => 'hash', p_kind => 'user', p_note => 'who somebody is; hashed, so that the same person stays countable');

-- Telephones.
select bcp_internal.add_keys(
    'phone', 'word', p_note => 'named by the requirements');
select bcp_internal.add_keys(
    'phones telephone telephones cellphone mobilephone homephone workphone userphone phoneno phonenum phonenumber
     phonenumbers telno telnr telnumber tel tels telefon telefonnummer telefono telefone telefonnr
     telephonenumber telephoneno mobilenumber mobileno mobilenum mobilenr msisdn faxnumber faxno fax
     contactnumber contactno contactphone cellnumber cellno cellphonenumber cellular landline handynummer handynr
     rufnummer mobilnummer mobiltelefon smsnumber smsno callbacknumber callerid callernumber dialednumber
     calledparty callingnumber callingparty whatsapp whatsappnumber viber numerotelephone numerodetelephone
     celular movil telefoonnummer gsmnummer telefonszam telefonnummern telefonosmovil cellulare',
    'word');
select bcp_internal.add_keys(
    'mobile cell mobil handy', 'exact', p_value => '[0-9].*[0-9].*[0-9].*[0-9].*[0-9].*[0-9]', p_note => 'only if the value has six digits or more');
select bcp_internal.add_keys(
    'телефон 手机 手機 电话 電話 携帯 전화번호 휴대폰 هاتف جوال दूरभाष फ़ोन फोन טלפון τηλεφωνο',
    'contains');

-- National numbers that every application knows; the pack national_ids has the others.
select bcp_internal.add_keys(
    'ssn', 'contains', p_note => 'named by the requirements; exceptions keep className and processName, which contain it');
select bcp_internal.add_keys(
    'socialsecurity nationalinsurance passport taxpayerid', 'contains');
select bcp_internal.add_keys(
    'nationalid nationalids nationalidnumber taxid taxids driverlicense driverslicense drivinglicence
     drivinglicense driverlicence driverlicensenumber driverslicensenumber',
    'word');

-- Dates of birth.
select bcp_internal.add_keys(
    'dob dobs birth birthdate birthdates birthday birthdays birthdt dateofbirth placeofbirth yearofbirth
     birthyear birthmonth yob bday geburtsdatum geburtstag geburtsjahr geburtsort datedenaissance naissance
     nacimiento fechanacimiento fechadenacimiento nascimento datanascimento datadenascimento nascita
     datadinascita geboortedatum geboren fodselsdato fodelsedatum syntymaaika dataurodzenia',
    'word');
select bcp_internal.add_keys(
    'born', 'exact');
select bcp_internal.add_keys(
    'рождения 生日 出生日期 出生 生年月日 誕生日 생년월일 الميلاد जन्म', 'contains');

-- Cards, accounts, payments.
select bcp_internal.add_keys(
    'creditcard', 'contains', p_note => 'named by the requirements');
select bcp_internal.add_keys(
    'debitcard cardnumber cardholder cardnum', 'contains');
select bcp_internal.add_keys(
    'cardno ccnumber ccnum ccno ccn pannumber cardpan cardexpiry cardexp cardexpiration expirycard cardcvv
     cardcvc cvv cvv2 cvc cvc2 cvn csc trackdata track1 track2 cardtrack lastfour last4 lastdigits cardlast4
     cardlastfour cardlastdigits kreditkarte kreditkartennummer kartennummer tarjeta numerotarjeta
     numerodetarjeta cartebancaire numerocarte numerocartao',
    'word');
select bcp_internal.add_keys(
    'securitycode carddata', 'contains');
select bcp_internal.add_keys(
    'pan cc', 'last', p_type => 'string', p_value => '^[A-Za-z]{0,4}[0-9][0-9 -]{6,}$', p_note => 'the number of a card; a list of addresses under cc stays');
select bcp_internal.add_keys(
    'iban ibans bic swiftbic bicswift swiftcode bankaccount bankaccountnumber accountnumber accountnumbers
     accountno accountnr accountnum acct acctno acctnum acctnumber acctnbr routingnumber routingno abarouting
     sortcode bsb bsbnumber upi upiid vpa kontonummer kontonr bankverbindung numerodecuenta numerocuenta
     numerocompte clabe ifsc ifsccode bankcode paypalaccount walletaddress',
    'word');

drop function bcp_internal.add_keys;

-- Keys that contain such a word and hold nothing of the kind.
insert into bcp.sensitive_key_exceptions (key_pattern, match_mode, value_type, note)
select word, match_mode, value_type, note
from (values
    ('type types kind kinds status statuses state states strength strengths policy policies rule rules required
     requires optional enabled disabled verified unverified confirmed valid invalid expired expires expiry
     expiration expiring exp ttl lifetime age changed updated created rotated issued sent received opened clicked
     bounced at count counts counter attempts attempt limit limits length format formats schema provider
     providers method methods endpoint endpoints url urls uri uris path paths file files filename dir directory
     folder algorithm algo alg issuer audience subject subjects template templates os plan plans line lines
     country brand model carrier symbol symbols standard price prices rate rates cost costs consent preference
     preferences settings setting config options option mode modes name names label labels placeholder
     description title app apps application friendly client clients service services server servers host domain
     domains version versions source index position is are was exists exist present supported allowed needed
     match matches mismatch missing used unused remaining usage budget per reset resets resetting order orders
     account accounts control controls check checks checked validation validator verification notification
     notifications campaign campaigns marketing frequency compromised breach breached leaked manager managers
     management generator generated encoder encoding hasher hashing scope scopes grant grants flow flows store
     stores storage backend class classes handler handlers factory util utils helper helpers icon icons image
     button tab page screen form dialog modal view role roles category categories based less free protected only
     level levels score bundle bundles map mapping language locale',
     'after', 'any', 'says something about a secret, and does not hold it'),
    ('is has had can should must needs use uses using show hide allow allows enable enables disable disables
     require requires include includes exclude supports no without map gpio',
     'before', 'any', 'asks about a secret, or names another thing'),
    ('tokens',
     'word', 'number', 'a count'),
    ('maxtoken maxtokens maxnewtokens maxoutputtokens maxcompletiontokens mintokens numtokens ntokens prompttokens
     completiontokens inputtokens outputtokens totaltokens cachedtokens cachetokens reasoningtokens
     thinkingtokens audiotokens imagetokens texttokens readtokens cachereadtokens creationtokens writetokens
     inputtokensdetails inputtokendetails outputtokendetails outputtokensdetails prompttokensdetails
     completiontokensdetails tokencount tokencounts tokenscount tokenusage tokenlimit tokenbudget tokensused
     tokensremaining tokenspersecond tokensin tokensout usedtokens remainingtokens availabletokens
     estimatedtokens promptokens tokensperminute',
     'word', 'any', 'a count'),
    ('tokenid tokenids padtoken eostoken bostoken unktoken septoken clstoken masktoken specialtokens specialtoken
     stoptoken stoptokens starttoken endtoken endoftexttoken addedtokens logittokens tokenlogprobs toptokens
     subtoken subtokens bannedtokens badtokens',
     'word', 'any', 'a token of a tokenizer'),
    ('nexttoken pagetoken nextpagetoken previouspagetoken prevpagetoken pagetokens continuationtoken
     nextcontinuationtoken synctoken nextsynctoken cursortoken resumetoken markertoken startingtoken
     paginationtoken skiptoken',
     'word', 'any', 'a position in a list of pages'),
    ('tokenizer tokenizers tokenization tokenize tokenized tokenizes detokenize tokenised tokeniser',
     'word', 'any', 'a token of a tokenizer'),
    ('tokenaddress tokenstandard tokensymbol tokendecimals tokenprice tokenamount tokenbalance tokenname
     tokensupply tokencontract erc20token',
     'word', 'any', 'a token of a cryptocurrency'),
    ('unexpectedtoken expectedtoken unknowntoken syntaxtoken currenttoken',
     'word', 'any', 'a token of a parser'),
    ('secretary secretaries undersecretary secretion',
     'word', 'any', 'another word that contains secret'),
    ('emailed emailing emailer emailers',
     'word', 'any', 'says that mail was sent'),
    ('phonecode phonecountrycode',
     'word', 'any', 'the code of a country'),
    ('birthplace birthrate birthrates birthweight birthorder birthcontrol birthplaces',
     'word', 'any', 'not a date of birth'),
    ('boardingpass boardingpasses skipass buspass daypass seasonpass railpass travelpass gamepass firstpass
     secondpass singlepass multipass onepass twopass forwardpass backwardpass renderpass lowpass highpass
     bandpass allpass testspass testpass checkspass willpass didpass shouldpass canpass mountainpass bypass
     hallpass',
     'word', 'any', 'another kind of pass'),
    ('issn',
     'word', 'any', 'the number of a journal'),
    ('classname businessname processname accessname addressname businessnumber processnumber accessnumber
     addressnumber',
     'contains', 'any', 'contains ssn by chance'),
    ('cookiesenabled cookieenabled cookiebanner cookiecutter cookiecutters',
     'word', 'any', 'not the value of a cookie'),
    ('passportcontrol passportjs passportoffice',
     'word', 'any', 'not the number of a passport'),
    ('mappin mappins gpiopin pinmode pinout pinouts pincount droppin pushpin',
     'word', 'any', 'another kind of pin'),
    ('emailcount emailssent phonecount',
     'word', 'number', 'a count'),
    ('passwordlastchanged passwordminlength passwordmaxlength passwordlastset passwordlastused tokenlastused
     emaillastsent',
     'word', 'any', 'a time or a length'),
    ('credentialid credentialids credentialref secretref secretrefs secretid secretarn tokenref keyref',
     'word', 'any', 'refers to a secret, and does not hold it')
) as list (words, match_mode, value_type, note), regexp_split_to_table(words, '\s+') as word;

-- Objects that hold the name and the value of a thing as members of their own.
insert into bcp.name_value_keys (name_key, beside, value_keys, note)
select unnest(names), beside, string_to_array(value_keys, ' '), note
from (values
    ('{name,key,header,headername,field,fieldname,property,prop,propertyname,param,parameter,paramname,parametername,argument,variable,var,varname,option,attribute,attr,setting,column,columnname,label,k,envname,input,question,item}'::text[], null,
     'value values val v text content data default defaultvalue argument arg args answer input stringvalue valuestring currentvalue newvalue oldvalue response', 'headers, forms, environment variables'),
    ('{id,type,title,element,placeholder,selector,target,locator,caption}', null, 'value values val v text default defaultvalue input', 'elements of a page that are filled in'),
    ('{system}', null, 'value', 'FHIR: {"system": "email", "value": ...}'),
    ('{path}', 'op', 'value', 'JSON Patch, RFC 6902'),
    ('{columns,fields,headers,cols,columnnames,fieldnames,names,schema,keys}', null, 'rows data values records results items tuples body', 'tables')
) as list (names, beside, value_keys, note);
