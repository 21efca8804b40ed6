-- Packs, which a team switches on: select bcp.enable_anonymization_pack('names').
insert into bcp.anonymization_packs (name, finds) values
    ('names', 'Names of people, postal addresses and places, devices, and what is private, such as religion, under keys that say so; names after a title or a greeting, and every IPv4 address in text.'),
    ('national_ids', 'National, tax, social security, health, passport and licence numbers: under keys that say so, after words that say so, and by their check digits.');

-- A key that is in force without a pack stays as it is, and gets no row here.
insert into bcp.sensitive_keys (key_pattern, match_mode, action, kind, value_pattern, pack, note)
select key_pattern, match_mode, action, kind, value_pattern, pack, note
from (values
    ('names', 'exact', 'hash', 'name', '^(?!\S*[_/:\\$@0-9{}<>()=]\S*$)(?![a-z]+[.A-Z-]\S*$).*[A-Za-z\u0080-\U0010FFFF]', 'the name of a person or of a thing; what looks like an identifier stays',
        'name names holder initials nom noms nombre nombres nome naam imya имя 姓 名 名字 名前 お名前 اسم الاسم نام नाम שם 이름 성명'),
    ('names', 'word', 'hash', 'name', null, 'a person''s name',
        'surname lastname firstname fullname middlename middleinitial familyname givenname forename maidenname
         realname legalname nickname screenname username customername patientname passengername guestname contactname
         employeename studentname membername recipientname sendername buyername sellername payeename payername
         beneficiaryname billingname shippingname holdername nameoncard insuredname doctorname physicianname
         spousename fathersname mothersname mothersmaidenname authorname candidatename tenantname visitorname
         cardholder accountholder policyholder passportholder emergencycontact nextofkin beneficiary vorname nachname
         familienname geburtsname rufname kundenname ansprechpartner inhaber karteninhaber kontoinhaber spitzname
         prenom nomdefamille nomcomplet nomdusage titulaire surnom destinataire apellido nombrecompleto nombrecliente
         primernombre segundonombre titular apodo destinatario cognome nomecompleto intestatario soprannome
         nomecliente sobrenome primeironome ultimonome apelido voornaam achternaam tussenvoegsel volledigenaam
         familienaam bijnaam rekeninghouder kaarthouder фамилия отчество фио полноеимя имяпользователя получатель
         отправитель владелец прозвище імя прізвище الاسمالكامل الاسمالأول الاسمالاول اسمالعائلة اسمالمستخدم اللقب
         اسمالمريض اسمالعميل पूरानाम उपनाम प्रथमनाम अंतिमनाम कुलनाम पितानाम मातानाम ग्राहकनाम'),
    ('names', 'contains', 'hash', 'name', null, 'a person''s name',
        '姓名 真实姓名 收货人 收件人 联系人 昵称 用户名 持卡人 患者姓名 客户姓名 紧急联系人 氏名 フルネーム フリガナ ふりがな 苗字 宛名 お客様名 患者名 ニックネーム'),
    ('names', 'exact', 'hash', 'address', '^(?!0[xX][0-9a-fA-F]+$|[a-z][a-z0-9+.-]*://|\S+:[0-9]+$)', 'a postal address; an address in memory or of a service stays',
        'address addresses adresse adressen anschrift direccion direcciones domicilio indirizzo endereco morada adres
         адрес адреса 地址 住址 住所 العنوان عنوان पता כתובת 주소'),
    ('names', 'word', 'hash', 'address', null, 'a postal address or a part of it',
        'streetaddress streetname streetnumber housenumber housename homeaddress billingaddress shippingaddress
         mailingaddress postaladdress deliveryaddress residentialaddress permanentaddress currentaddress workaddress
         addressline address1 address2 address3 addr1 addr2 zipcode postcode postalcode pobox apartmentnumber
         aptnumber hometown cityname townname strasse hausnummer postleitzahl wohnort lieferadresse rechnungsadresse
         postanschrift codepostal adressepostale numeroderue codigopostal codicepostale calle colonia logradouro
         bairro straatnaam huisnummer woonplaats woonadres адресдоставки адреспроживания почтовыйиндекс улица
         номердома прописка الشارع الرمزالبريدي عنوانالسكن पिनकोड गली मकाननंबर डाकपता'),
    ('names', 'contains', 'hash', 'address', null, 'a postal address or a part of it',
        '家庭住址 收货地址 收件地址 邮寄地址 邮编 邮政编码 街道 街道地址 郵遞區號 郵便番号 現住所 番地 市区町村 町名 配送先 送付先'),
    ('names', 'exact', 'hash', 'address', null, 'a part of a postal address',
        'street city town zip zip4 plz cap cep postal stadt ort ville rue cidade rua ciudad citta via straat gemeente
         localidad comune addr neighborhood neighbourhood город индекс 城市 都市 المدينة शहर 도시 우편번호'),
    ('names', 'word', 'hash', 'address', null, 'a part of a postal address',
        'billingcity shippingcity homecity birthcity billingzip shippingzip billingstreet shippingstreet'),
    ('names', 'word', 'hash', 'geo', null, 'where somebody is',
        'latitude longitude latlng latlong latlon geolocation gpslocation gpscoordinates homelocation lastlocation
         breitengrad laengengrad längengrad latitud longitud latitudine longitudine breedtegraad lengtegraad широта
         долгота خطالعرض خطالطول अक्षांश देशांतर'),
    ('names', 'contains', 'hash', 'geo', null, 'where somebody is',
        '纬度 经度 緯度 経度'),
    ('names', 'exact', 'hash', 'geo', null, 'where somebody is',
        'lat lon lng coords coordinates gps'),
    ('names', 'word', 'hash', 'ip', null, 'the IP address of a person',
        'forwardedfor xrealip clientip remoteip remoteaddr userip visitorip customerip callerip lastloginip'),
    ('names', 'word', 'hash', 'device', null, 'a device',
        'macaddress macaddr imei imsi iccid advertisingid advertiserid deviceid deviceuuid deviceserial devicetoken
         devicefingerprint browserfingerprint androidid udid bluetoothaddress bssid идентификаторустройства'),
    ('names', 'contains', 'hash', 'device', null, 'a device',
        '设备号 设备id'),
    ('names', 'word', 'hash', 'device', null, 'a device',
        'meid idfa idfv gaid aaid'),
    ('names', 'exact', 'hash', 'device', null, 'a device',
        'mac macs adid esn'),
    ('names', 'word', 'hash', 'vehicle', null, 'a vehicle',
        'licenseplate licenceplate numberplate platenumber vehicleregistration kennzeichen immatriculation kenteken
         госномер'),
    ('names', 'contains', 'hash', 'vehicle', null, 'a vehicle',
        '车牌 車牌 ナンバープレート'),
    ('names', 'word', 'hash', 'vehicle', null, 'a vehicle',
        'vin vinnumber fahrgestellnummer'),
    ('names', 'word', 'redact', 'secret', null, 'private in itself; redacted, since a hash of so few values would give them away',
        'gender religion religious maritalstatus civilstatus ethnicity ethnicorigin sexualorientation
         sexualpreference unionmember tradeunion unionmembership politicalparty politicalopinion politicalview
         politicalaffiliation medication diagnosis bloodtype bloodgroup genderidentity pronouns disability allergies
         allergy prescription medicalcondition medicalhistory healthcondition pregnancy hivstatus criminalrecord
         nationality citizenship caste geschlecht konfession familienstand staatsangehoerigkeit staatsangehörigkeit
         gewerkschaft blutgruppe diagnose medikament allergie schwangerschaft behinderung sexe etatcivil
         situationfamiliale orientationsexuelle groupesanguin medicament nationalite appartenancesyndicale handicap
         estadocivil orientacionsexual gruposanguineo diagnostico medicamento nacionalidad afiliacionsindical
         discapacidad etnia statocivile orientamentosessuale grupposanguigno diagnosi farmaco nazionalita
         orientacaosexual tiposanguineo nacionalidade deficiencia geslacht burgerlijkestaat bloedgroep medicatie
         nationaliteit geloof национальность вероисповедание религия семейноеположение группакрови диагноз лекарство
         гражданство ориентация الجنس الديانة الدين الحالةالاجتماعية فصيلةالدم التشخيص الجنسية लिंग धर्म जाति
         वैवाहिकस्थिति रक्तसमूह निदान दवा राष्ट्रीयता'),
    ('names', 'contains', 'redact', 'secret', null, 'private in itself; redacted, since a hash of so few values would give them away',
        '性别 性別 民族 宗教 宗教信仰 婚姻状况 婚姻状態 政治面貌 血型 血液型 诊断 診断 病历 病名 药物 服薬 性取向 国籍 過敏史'),
    ('names', 'exact', 'redact', 'secret', null, 'private in itself; redacted, since a hash of so few values would give them away',
        'sex race ethnic sexo sesso genero genere religione religiao пол 性 medications diagnoses medicine symptoms'),
    ('national_ids', 'word', 'hash', 'nationalid', null, 'a national number',
        'nationalid nationalidentity nationalidentification nationalinsurance socialsecurity socialinsurance
         socialnumber ssnlast4 last4ssn ssn identitycard identitynumber identitydocument identificationnumber
         governmentid govid citizenid residentid residencepermit residentpermit alienregistration personalid taxpayer
         taxnumber taxidentification vatnumber vatid passport passportno passportnumber visanumber greencard
         licensenumber licencenumber licenseno licenceno driverlicense driverslicense driverlicence driverslicence
         drivinglicense drivinglicence medicare medicaid medicalrecord healthcard healthinsurance insurancenumber
         nhsnumber voterid votercard voterregistration militaryid stateid birthcertificate ninumber itin aadhaar
         aadhar uidai pannumber pancard emiratesid civilid mykad philsys curp cnpj pesel burgerservicenummer
         personnummer personnumber samordningsnummer fodselsnummer fødselsnummer henkilotunnus henkilötunnus
         cprnummer kennitala isikukood asmenskodas personaskods rodnecislo rijksregister numeronational codicefiscale
         partitaiva tckimlik kimlikno jumin residentregistration nric hkid steuerid steueridnr steuernummer steuernr
         identifikationsnummer ausweisnummer personalausweis reisepass fuehrerschein führerschein sozialversicherung sozialversicherungsnummer rentenversicherungsnummer krankenversicherungsnummer
         versicherungsnummer steueridentifikationsnummer personalausweisnummer reisepassnummer fuehrerscheinnummer
         rentenversicherung krankenversicherung versichertennummer svnummer ustid passnummer aufenthaltstitel
         numerosecu securitesociale numerofiscal carteidentite carteidentité passeport permisdeconduire titredesejour
         cartevitale numeroinsee pasaporte cedula documentoidentidad numerodocumento seguridadsocial
         licenciadeconducir licenciaconducir numeroidentificacion claveunica passaporto cartaidentita cartadidentita
         patentediguida tesserasanitaria permessodisoggiorno passaporte cartaoidentidade cartaocidadao
         numerocontribuinte tituloeleitor carteiradeidentidade carteirademotorista pispasep paspoort rijbewijs
         identiteitskaart sofinummer btwnummer vreemdelingennummer снилс паспорт номерпаспорта серияпаспорта паспортныеданные водительскоеудостоверение
         номерполиса полисомс загранпаспорт удостоверениеличности رقمالهوية الهويةالوطنية الرقمالقومي جوازالسفر
         رقمالجواز رقمالإقامة رخصةالقيادة الرقمالضريبي आधार आधारसंख्या पैनकार्ड पासपोर्ट मतदातापहचान ड्राइविंगलाइसेंस
         תעודתזהות'),
    ('national_ids', 'contains', 'hash', 'nationalid', null, 'a national number',
        '身份证 身份證 身分證 护照 護照 社保号 社会保障号 驾驶证 驾照 居留证 医保号 税号 マイナンバー 個人番号 運転免許 パスポート 旅券 保険証番号 在留カード 年金番号 納税者番号 주민등록번호 주민번호
         여권번호 운전면허번호 외국인등록번호 เลขบัตรประชาชน'),
    ('national_ids', 'word', 'hash', 'nationalid', null, 'a national number; short, so it has to be a whole word',
        'nino cpf nif nie nit rut tin tins taxid taxids cpr nir insee mrn mrns bsn dni cuil cuit egn cnp oib emso
         jmbg ahv avsnumber tckn hetu svnr regon idnr npwp ktp iqama nhs tfn ptin niss insz amka afm cnh cni nss
         idnumber idno idcard idcardnumber idcardno idcards visano panno snils pps ppsn icnumber medicareno deanumber
         npinumber patientid patientnumber visrnokpp edrpou инн'),
    ('national_ids', 'word', 'hash', 'nationalid', '^[A-Za-z]{0,3}[0-9][0-9A-Za-z ./-]{4,24}$', 'a national number, where the value looks like one',
        'pan sin nas rfc abn nip nik inn ein arc fin rg steuer npi dea mynumber svn personalnumber licence license
         passnumber epic')
) as groups (pack, match_mode, action, kind, value_pattern, note, keys)
cross join lateral regexp_split_to_table(keys, '\s+') as key_pattern
on conflict do nothing;

insert into bcp.anonymization_rules (name, ordinal, kind, pattern, hint, validation, pack, note, action)
select *, 'hash'
from (values
    ('ip_any', 398, 'ip',
     '(^ *|[^0-9A-Za-z./_ -] {0,3}|[0-9]:? {1,3}|//|\m(?![Vv]ersi|[Bb]uild|[Rr]elease|[Vv]er\M|[Rr]ev|[Ff]irmware|[Kk]ernel|[Dd]river)[A-Za-z_-]+ {1,3})([0-9]{1,3}(?:\.[0-9]{1,3}){3})(?![0-9A-Za-z_-]|[.:][0-9A-Fa-f]*[.:]|\.[0-9A-Za-z]|/[0-9]{1,3}(?![0-9A-Za-z]))',
     '[0-9][.][0-9]{1,3}[.][0-9]{1,3}[.][0-9]',
     'none', 'names', 'Private IPv4 addresses too.'),
    ('titled_name', 350, 'name',
     '(\m(?:Mr|Mrs|Ms|Mx|Miss|Dr|Prof|Sir|Madam|Herr|Herrn|Frau|Mme|Mlle|Monsieur|Madame|Se\u00f1ora?|Sra?|Signora?|Sig|Dhr|Mevrouw|Mevr)\.? |\m(?:Dear|Hello|Hi|Liebe[r]?|Cher|Ch\u00e8re|Querid[oa]|Estimad[oa]|Gentile|Beste|Car[oa]) |\m(?:[Mm]y name is|I am called|[Ii]ch hei\u00dfe|[Mm]ein Name ist|[Jj]e m''appelle|[Mm]on nom est|[Mm]e llamo|[Mm]i chiamo|[Mm]eu nome \u00e9) )(?!(?:All|Team|Sir|Madam|Customer|Everyone|There|World|Support|Folks|Colleagues|User|Mr|Mrs|Ms|Dr|Prof|Friend|Friends|Hiring|Guest)\M)([A-Z\u00c0-\u017f][a-z\u00df-\u017f''\u2019-]+(?: (?:[A-Z]\.|(?:van|von|de|del|della|di|da|dos|den|der|la|le|bin|al)(?: (?:der|den|la|los))?)){0,2}(?: [A-Z\u00c0-\u017f][a-z\u00df-\u017f''\u2019-]+){0,3})',
     '\m(?:m[rsx]|mrs|miss|dr|prof|sir|madame?|herrn?|frau|mme|mlle|monsieur|se\u00f1ora?|sra?|signora?|sig|dhr|mevr(?:ouw)?)[.]? [^0-9 ]|\m(?:dear|hello|hi|lieber?|cher|ch\u00e8re|querid[oa]|estimad[oa]|gentile|beste|car[oa]) [^0-9 ]|name is |i am called |ich hei\u00dfe |name ist |m.appelle |nom est |me llamo |mi chiamo |meu nome ',
     'none', 'names', 'A name after a title, a greeting, or my name is.'),
    ('national_id_labelled', 270, 'nationalid',
     '(?i)((?:\m(?:pass(?:port|eport|aporto?|nummer|aporte)|reisepass|paspoort|(?:driver''?s? |driving )?licen[cs]e|f\u00fchrerschein|permis de conduire|ssn|social (?:security|insurance)|tax(?:payer)? id(?:entification)?|national (?:id|insurance)|ni|nino|nhs|medicare|medicaid|mrn|medical record|patient id|(?:id|identity) card|id number|government id|personalausweis|ausweis|rijbewijs|dni|nie|nif|nit|rut|curp|cedula|c\u00e9dula|cpf|cnpj|rg|cnh|bsn|pesel|nip|regon|aadhaar|aadhar|voter id|epic|steuer-?(?:id(?:nr)?|nummer)|sozialversicherungsnummer|insee|s\u00e9curit\u00e9 sociale|codice fiscale|personnummer|cpr|hetu|egn|cnp|oib|emso|jmbg|tckn|ahv|svnr|nric|hkid|my number|abn|tfn|acn|itin|ein|npi|dea|visa|green card|account|acct|a/c|konto|compte|cuenta|routing|sort code|snils|inn)\M|身份证|身份證|护照|マイナンバー|個人番号|паспорт|снилс|инн|주민등록번호|رقم الهوية|आधार)(?:[ .:#=-]{1,3}(?:card|number|num|no|nr|numero|num\u00e9ro|n\u00famero|num\u00e8ro|id|is|was|ist|est|es|code|series|号|号码|號碼|番号)(?![a-z])){0,3}[号码碼番:：\uff1a .#=-]{0,4})([a-z]{0,3}-?[0-9](?:[ /-]?[0-9]|[a-z](?=[a-z]?[0-9]|[a-z]?(?:[^a-z]|$))){4,})(?![0-9a-z]|[./][0-9])',
     '(?:pass(?:p|ep|ap|nu)|reisepass|paspoort|licen[cs]e|schein|permis|ssn|social|tax|national|\mni\M|nino|nhs|medic|mrn|patient|card|number|government|ausweis|rijbewijs|\m(?:dni|nie|nif|nit|rut|rg|cnh|bsn|nip|cpr|egn|cnp|oib|ahv|abn|tfn|acn|ein|npi|dea|cpf|inn)\M|curp|dula|cnpj|pesel|regon|aadh|voter|epic|steuer|versicherung|insee|fiscale|person|hetu|emso|jmbg|tckn|svnr|nric|hkid|itin|visa|a/c|acc|konto|compte|cuenta|routing|sort code|snils|身份|护照|マイナンバー|個人番号|паспорт|снилс|инн|주민|رقم|आधार)[^0-9,;]*[0-9]',
     'none', 'national_ids', 'Five characters or more that begin with a digit, after a word such as passport.'),
    ('national_id_alone', 275, 'nationalid',
     '(^\s*)([0-9]{9,10}|[2-9][0-9]{11}|[0-9]{3}[ -][0-9]{3}[ -][0-9]{3}|[A-Z][0-9]{7,8}|[A-Z]{2}[0-9]{7}|[A-Z]{3}[0-9]{7})(?=\s*$)',
     '[0-9]{7}|[0-9]{3}[ -][0-9]{3}[ -][0-9]{3}',
     'identifier', 'national_ids', 'A text that consists only of nine or ten digits, or of letters and seven digits, a form too common to look for inside a text.'),
    ('national_id', 280, 'nationalid',
     '(^ *|[^0-9A-Za-z_./#@+ -] {0,3}|[A-Za-z] {1,3}(?:- )?)([0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}|[0-9]{2}\.[0-9]{3}\.[0-9]{3}/[0-9]{4}-[0-9]{2}|[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}-[0-9Kk]|[0-9]{7,8}-[0-9Kk]|[0-9]{3}-[0-9]{3}-[0-9]{3} [0-9]{2}|[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}|756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}|[0-9]{6}[-+/][0-9]{4}|[0-9]{8}[-+][0-9]{4}|[0-9]{6}-[1-8][0-9]{6}|[0-9]{3}-[0-9]{3}-[0-9]{2}-[0-9]{2}|9[0-9]{2}-[5-9][0-9]-[0-9]{4}|[0-9]{3}-[0-9]{3}-[0-9]{3}|[1-8] [0-9]{2} [0-9]{2} [0-9]{2} [0-9]{3} [0-9]{3} [0-9]{2}|[2-9][0-9]{3}[ -][0-9]{4}[ -][0-9]{4}|[0-9]{2} [0-9]{3} [0-9]{3} [0-9]{3}|[0-9]{11}|[0-9]{13,15}|[0-9]{17}[0-9X]|[XYZ]-?[0-9]{7}-?[A-Z]|[0-9]{8}-?[A-HJ-NP-TV-Z]|[STFGM][0-9]{7}[A-Z]|[A-Z]{1,2}[0-9]{6}\([0-9A]\)|[A-Z][1289][0-9]{8}|[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y]|[A-Z]{6}[0-9L-NP-V]{2}[A-EHLMPR-T][0-9L-NP-V]{2}[A-Z][0-9L-NP-V]{3}[A-Z]|[A-Z]{4}[0-9]{6}[HMX][A-Z]{5}[0-9A-Z][0-9]|[A-Z&]{3,4}[0-9]{6}[A-Z0-9]{3}|[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]|[A-Z]{5}[0-9]{4}[A-Z]|[1-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9]-?[AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9]-?[AC-HJKMNP-RT-Y]{2}[0-9]{2}|(?:ATU[0-9]{8}|(?:BE|BG)[01]?[0-9]{9}|CY[0-9]{8}[A-Z]|(?:CZ|HU|DK|FI|LU|MT|SI|EE|EL|DE|PT|SK|PL|RO|HR|IT|LV|FR|GB|LT)[0-9]{8,12}|ES[0-9A-Z][0-9]{7}[0-9A-Z]|FR[A-Z0-9]{2}[0-9]{9}|IE[0-9]{7}[A-W][A-I]?|NL[0-9]{9}B[0-9]{2}|SE[0-9]{10}01|CHE-?[0-9]{3}\.?[0-9]{3}\.?[0-9]{3}))(?![0-9A-Za-z_@]|[-./][0-9A-Za-z]| [0-9])',
     '[0-9]{6}|[0-9]{3}[ .-][0-9]{3}[ .-][0-9]{2}|[0-9]{4}[ .-][0-9]{4}[ .-][0-9]{2}|[0-9]{2}[ .][0-9]{2}[ .][0-9]{2}|9[0-9]{2}-[5-9][0-9]-[0-9]|[a-z]{5}[0-9]{4}[a-z]|[a-z]{6}[0-9a-z]{2}[a-z][0-9a-z]{2}[a-z][0-9a-z]{3}[a-z]|\m[1-9][a-z][a-z0-9][0-9]-?[a-z][a-z0-9][0-9]-?[a-z]{2}[0-9]{2}|[a-z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[a-d]|[0-9]{1,2}[.][0-9]{3}[.][0-9]{3}[-/][0-9k]',
     'identifier', 'national_ids', 'Numbers in the forms of many countries; where a form has check digits, they have to be right.')
) as rules (name, ordinal, kind, pattern, hint, validation, pack, note);
