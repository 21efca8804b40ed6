-- Keys of every claimed kind in the languages that most people write, in their own script and without its accents, and
-- keys of protocols and clouds. Letters with accents are read without them, so motdepasse finds mot_de_passé, too. What
-- is written without spaces is found inside of a word.
insert into bcp.sensitive_keys (key_pattern, match_mode, value_type, action, kind, pack, value_pattern, note)
select k.key_pattern, w.match_mode, w.value_type, w.action, w.kind, w.pack, w.value_pattern, w.note
from (values
    (
        'пароля паролі гасло парола лозинка шифра құпиясөз нууцүг '
        'الرقمالسري رقمسري باسورد كلمةسر كلمةمرور كلمهالسر كلمهالمرور رمزالدخول رمزالتحقق المفتاحالسري '
        'کلمهعبور رمزعبور پسورد گذرواژه پاسورڈ خفیہکوڈ '
        'संकेतशब्द गुप्तकोड गुप्तकुंजी गुप्तशब्द पासफ्रेज টোকেন পাসওয়ার্ড গোপনকোড গোপনীয়কোড '
        'பாஸ்வேர்ட் పాస్వర్డ్ సంకేతపదం ಪಾಸ್ವರ್ಡ್ ಗುಪ್ತಪದ പാസ്വേഡ് પાસવર્ડ ਪਾਸਵਰਡ මුරපදය စကားဝှက် ពាក្យសម្ងាត់ ລະຫັດຜ່ານ '
        'συνθηματικο κωδικοςπροσβασης κωδικόςπρόσβασης κωδικοσπροσβασησ μυστικο μυστικό '
        'סיסמתכניסה קודסודי מפתחסודי מפתחapi טוקן '
        'mdp motpasse motdpasse codesecret cleprivee cledacces codedacces codeacces phrasesecrete jetondeconnexion '
        'codedeverification codeverification codedesecurite '
        'llaveprivada llaveapi llavesecreta palabrasecreta frasesecreta codigodeverificacion codigoverificacion '
        'codigodeseguridad codigoseguridad codigodeacceso codigoacceso contrasinal '
        'codigodeverificacao codigoverificacao codigodeseguranca codigoseguranca palavrasecreta chavedeacesso '
        'chavedeseguranca frasesecreta '
        'codicepin codicesegreto codicediverifica codicediaccesso codicediaccesso chiaveprivata chiavediaccesso parolasegreta '
        'geheimcode geheimschluessel geheimschlussel zugriffsschluessel zugriffsschlussel zugangsschluessel '
        'zugangsschlussel privaterschluessel privaterschlussel sicherheitscode bestaetigungscode bestatigungscode '
        'verifizierungscode losungswort '
        'toegangscode toegangstoken beveiligingscode verificatiecode geheimwoord paswoord '
        'hemlighet hemligkod atkomsttoken atkomstnyckel privatnyckel kodord kodeord hemmelighed hemmelighet apinogle '
        'adgangsnogle tilgangskode tilgangsnokkel tunnussana salaisuus salasanani '
        'kluczprywatny kluczdostepu kodweryfikacyjny kodsms tajneslowo '
        'klicapi tajnyklic soukromyklic pristupovytoken pristupovykod overovacikod apikulcs titkoskulcs maganskulcs '
        'biztonsagikod cheieapi cheieprivata cheiesecreta codulpin codpin coddesecuritate '
        'parol parolasi gizlianahtar dogrulamakodu erisimanahtari erisimkodu guvenlikkodu '
        'sandi katakunci kunciapi kuncirahasia kodeotp kodeverifikasi kodeakses kodepin '
        'mabaomat khoabimat maxacthuc maxacminh maotp mapin katalaluan kodkeselamatan '
        'nenosiri nywila pasahitza cyfrinair pasfhocal pasvorto fjalekalim fjalekalimi salasona maxfiykalit zaporka '
        'tajnakljuc privatnikljuc slaptazodis raktas',
        'word', 'any', 'redact', 'secret', null, null, 'a password, a key or a code in other languages'),
    (
        '패스워드 비번 암호 인증키 액세스키 접속코드 인증번호 보안코드 개인키 '
        'パスコード パスフレーズ 合言葉 ピンコード 認証コード 認証キー アクセスキー アクセスコード 確認コード 秘密の質問 秘密の答え '
        '私钥 私鑰 验证码 驗證碼 校验码 校驗碼 安全码 安全碼 暗号 暗號 通行码 通行碼 助记词 助記詞 访问码 授权码 授權碼 '
        'รหัสลับ รหัสพิน รหัสยืนยัน โทเค็น',
        'contains', 'any', 'redact', 'secret', null, null, 'a password, a key or a code in other scripts'),
    (
        'pwhash passhash ntlmhash nthash lmhash samlresponse samlassertion samlrequest samlart wresult kerberosticket '
        'serviceticket ticketgrantingticket krbtgt kirbi keytab keytabdata spnego sessionticket proxyticket '
        'sslkey tlskey sslprivkey tlsprivkey privkey privatepem keypem pemdata pemprivate certkey certprivkey '
        'dockerconfigjson dockercfg dockerauth registryauth presignedurl presignedurls presignedlink signedurl signedurls '
        'clientassertion codeverifier dpop dpopproof cnonce oauthverifier usercode devicecode '
        'ikepsk ipsecpsk wpapsk snmpauthkey snmpprivkey radiuskey tacacskey tsigkey rndckey dkimkey dkimprivate zsk ksk '
        'wgkey wireguardkey unsealkey unsealkeys machinekey validationkey cipherkey encryptkey '
        'signkey vapidkey vapidprivate xauth authstring authblob authdata loginhash sessionhash resetkey '
        'confirmationkey unlockkey verificationkey signincode magiccode '
        'githubpat gitlabpat azurepat azuredevopspat personalaccess personalaccesskey '
        'serviceaccountjson gcpserviceaccount googlecreds awscreds gcpcreds azurecreds '
        'doorcode gatecode entrycode alarmcode buildingcode safecombination lockcombination',
        'word', 'any', 'redact', 'secret', null, null, 'what protocols, clouds and doors ask for'),
    (
        'authorisation', 'contains', 'any', 'redact', 'secret', null, null, 'the British spelling'),
    (
        'p12 pfx pkcs12 jks keystore truststore pat assertion',
        'last', 'string', 'redact', 'secret', null, '^(?=[^\s]*[0-9])(?=[^\s]*[A-Za-z])[A-Za-z0-9+/=_.-]{24,}$',
        'what such a file or ticket holds, not its name'),
    (
        'correoelec correoe mejl mejladress surel alamatsurel thudientu hopthu dirmail adressedemessagerie '
        'пошта електроннапошта електронна имейл البريدالإلكتروني البريدالالكتروني بريدإلكتروني بريدالكتروني ايميل إيميل '
        'ایمیل پستالکترونیک رایانامه ایمیلایڈریس ईमेल इमेल ইমেইল ইমেল மின்னஞ்சல் ఇమెయిల్ ಇಮೇಲ್ ഇമെയിൽ ઈમેલ ਈਮੇਲ '
        'אימייל דואל דוארלאלקטרוני דואראלקטרוני מייל ηλεκτρονικοταχυδρομειο ηλεκτρονικόταχυδρομείο sahkoposti sahkopostiosoite',
        'word', 'any', 'redact', 'secret', null, null, 'an address of mail in other languages'),
    (
        '电邮 電郵 邮件地址 信箱 メアド Eメール 메일주소 전자우편 อีเมล',
        'contains', 'any', 'redact', 'secret', null, null, 'an address of mail in other scripts'),
    (
        'fromnumber tonumber callfrom e164 phonee164 destinationnumber sourcenumber callernum dialstring '
        'numerotelefono numerodetelefono numtelefono numtel tfno tlfno telefonomovil numerocelular telcelular numerodecelular '
        'numerotel telportable telephoneportable numeroportable telfixe telmobile telephonemobile numerodemobile '
        'telemovel numerotelefone numerodetelefone telefonecelular fone fonecelular celulartelefone '
        'numeroditelefono telefonocellulare numerocellulare numerodicellulare '
        'telefonmobil festnetz festnetznummer mobilfunknummer rufnr handynum '
        'mobielnummer mobieletelefoon telefoonnr telefoon gsmnr mobilnr mobilnummeret tlfnr tlfnummer telefonnumret '
        'puhelin puhelinnumero puhelinnro matkapuhelin kannykka telefonkomorkowy numerkomorkowy numertelefonu nrtel nrtelefonu '
        'mobilnicislo cislotelefonu telefonnicislo telcislo mobilszam mobiltelefonszam numartelefon telefonmobil nrtelefon numardetelefon '
        'telefonno telefonnumarasi cepno ceptel ceptelefonu gsmno notelepon notelp notlp nomortelepon nomorponsel nomorhandphone nomorhp nomorwa '
        'dienthoai sodienthoai sdt sodt dtdd didong nambayasimu nombortelefon telefonski telefonskabroj brojtelefona '
        'мобильный мобильныйномер сотовый мобільний мобилен κινητο κινητό τηλεφωνο τηλέφωνο '
        'נייד טלפוןנייד موبايل محمول تليفون تلفون رقمالجوال رقمالهاتف رقمالموبايل '
        'موبایل تلفن تلفنهمراه شمارهتلفن شمارههمراه فون فوننمبر موبائل موبائلنمبر '
        'मोबाइल मोबाइलनंबर मोबाईल फोननंबर টেলিফোন ফোন ফোননম্বর মোবাইল மொபைல் தொலைபேசி கைபேசி ఫోన్ మొబైల్ ఫోన్నంబర్ ಫೋನ್ ഫോൺ ફોન ਫ਼ੋਨ',
        'word', 'any', 'redact', 'secret', null, null, 'a telephone in other languages'),
    (
        '手机号 座机 行動電話 连系电话 携帯番号 連絡先電話 핸드폰 연락처 휴대전화 โทรศัพท์ เบอร์โทร มือถือ',
        'contains', 'any', 'redact', 'secret', null, null, 'a telephone in other scripts'),
    (
        'gsm mobiel mobile handynr tlf telepon ani dnis portable cellulare celular komorka',
        'exact', 'any', 'redact', 'secret', null, '[0-9].*[0-9].*[0-9].*[0-9].*[0-9].*[0-9]',
        'a telephone in other languages, where it has a number'),
    (
        'fechanac fecnac datenaissance dtnaissance anneenaissance anneedenaissance lieudenaissance '
        'dtnascimento anodenascimento localdenascimento luogodinascita annodinascita annonascita lugardenacimiento anodenacimiento '
        'gebdat gebdatum gebtag geburtsdat geboortedag geboortejaar geboorteplaats fodelsedag fodelsear fodelseort fodt fodselsdag fodselsar fodeland '
        'syntymapaiva syntymavuosi syntymapaikka dataur dataurodz rokurodzenia datumnar datumnarozeni roknarozeni narozen datumrodenja datumrodjenja '
        'szuletesidatum szuldatum szuletesnap szuletes datanasterii datanasteri dogumtarihi dogumgunu dogumyili dogumyeri '
        'tanggallahir tgllahir tempatlahir tarikhlahir ngaysinh namsinh ngaythangnamsinh noisinh tarehekuzaliwa kaarawan '
        'народження датанародження нараждане датанараждане раждане рођења датумрођења γεννησης γεννησησ γέννησης γέννησησ ημερομηνιαγεννησης ημερομηνίαγέννησης '
        'לידה תאריךלידה ميلاد تاريخميلاد تاريخالميلاد تاریختولد تولد تاریخپیدائش پیدائش '
        'जन्मतिथि जन्मदिन जन्मतारीख জন্ম জন্মতারিখ জন্মদিন பிறந்ததேதி பிறந்தநாள் పుట్టినతేదీ పుట్టినరోజు ಜನ್ಮದಿನಾಂಕ ജനനത്തീയതി જન્મતારીખ ਜਨਮ',
        'word', 'any', 'redact', 'secret', null, null, 'a date of birth in other languages'),
    (
        '生年 誕生 生辰 생년 출생 생일 วันเกิด ปีเกิด', 'contains', 'any', 'redact', 'secret', null, null,
        'a date of birth in other scripts'),
    (
        'magstripe magstripedata magneticstripe trackdata1 trackdata2 btcaddress ethaddress bitcoinaddress ethereumaddress cryptoaddress solanaaddress '
        'xmraddress ltcaddress cryptowallet pixkey chavepix cbu cbualias transitnumber bankacct bankacctno bankacctnumber '
        'cartadicredito numerocartadicredito cartacredito numerodicarta numerocarta tarjetadecredito tarjetacredito tarjetadebito numerodecredito '
        'cartaodecredito cartaocredito numerodocartao numerodecartao cartedecredit cartecredit numcarte numerodecarte cartebleue '
        'kreditkartennr karteninummer kartennr creditkaart kredietkaart kaartnummer bankpas kreditkort kortnummer betalkort luottokortti luottokortinnumero '
        'kartakredytowa numerkarty nrkarty kreditnikarta cislokarty platebnikarta hitelkartya bankkartya bankkartyaszam kartyaszam numarcard numarulcardului carddecredit '
        'kredikarti kredikartino kartno kartnumarasi kartunumarasi kartukredit nomorkartu nokartu sothe sothetindung thetindung kadkredit nomborkad '
        'банковскаякарта кредитнаякарта номеркарты номеркартки картка кредитнакартка πιστωτικηκαρτα πιστωτικήκάρτα αριθμοςκαρτας '
        'כרטיסאשראי מספרכרטיס بطاقةالائتمان بطاقةائتمان رقمالبطاقة شمارهکارت کارتبانکی کارڈنمبر क्रेडिटकार्ड कार्डनंबर कार्डसंख्या ক্রেডিটকার্ড কার্ডনম্বর கடன்அட்டை '
        'bankgiro plusgiro rekeningnr bankrekening bankrekeningnummer rekeningnummer numeroconta numerodaconta contabancaria cuentabancaria numcuenta cuentacorriente '
        'contocorrente numeroconto contobancario coordinatebancarie comptebancaire numcompte relevebancaire '
        'numerkonta rachunek numerrachunku nrkonta kontobankowe cislouctu bankovniucet bankszamla bankszamlaszam szamlaszam contbancar numarcont '
        'hesapno hesapnumarasi bankahesapno bankahesabi norekening nomorrekening rekening sotaikhoan taikhoannganhang akaunbank nomborakaun '
        'pankkitili tilinumero bankkonto bankkontonummer bankkontonr расчетныйсчет расчётныйсчёт номерсчета номерсчёта банковскийсчет рахунок номеррахунку '
        'חשבוןבנק מספרחשבון رقمالحساب الحسابالبنكي شمارهحساب شبا اکاؤنٹنمبر खातासंख्या खातानंबर बैंकखाता ব্যাংকহিসাব ব্যাংকঅ্যাকাউন্ট',
        'word', 'any', 'redact', 'secret', null, null, 'a card or an account in other languages'),
    (
        '卡号 卡號 信用卡 银行卡 銀行卡 银行账号 银行账户 银行帐号 銀行帳號 银行账戶 クレジットカード カード番号 口座番号 銀行口座 카드번호 신용카드 계좌번호 계좌 บัตรเครดิต เลขบัญชี บัญชีธนาคาร',
        'contains', 'any', 'redact', 'secret', null, null, 'a card or an account in other scripts'),
    (
        'pix rib routing', 'exact', 'string', 'redact', 'secret', null, '^[^ ]*(?:[0-9][ -]?){8}',
        'an account, where it has a number'),
    (
        'lname fname mname preferredname fathername mothername personname applicantname participantname attendeename travelername travellername '
        'imie imiona nazwisko imieinazwisko pelneimie sukunimi etunimi kokonimi koko nimi efternamn fornamn fulltnamn mellannamn fornavn etternavn efternavn fuldenavn fulltnavn mellomnavn mellemnavn '
        'soyad soyadi adsoyad adisoyadi soyisim tamad jmeno krestnijmeno prijmeni celejmeno priezvisko vezeteknev keresztnev csaladnev teljesnev numedefamilie prenume numecomplet '
        'namalengkap namadepan namabelakang namakeluarga namapenuh hoten hovaten tendaydu tenkhachhang tendem apellidos nombreyapellidos nombreyapellido primerapellido segundoapellido nombredepila '
        'prenoms nomprenom nometprenom nomjeunefille nomdejeunefille nomnaissance nomdenaissance nomfamille nomeecognome nomesocial nomedamae nomemae nomepai nomedopai nombremadre nombrepadre nombredelamadre nombredelpadre '
        'vollername vollstaendigername vollstandigername vorundnachname voorletters roepnaam geboortenaam prezime imeiprezime priimek vardas pavarde perekonnanimi eesnimi uzvards '
        'ονομα επωνυμο ονοματεπωνυμο όνομα επώνυμο ονοματεπώνυμο μικροόνομα שםפרטי שםמשפחה שםמלא имяифамилия побатькові повнеімя фамилноиме презиме '
        'الاسمالأخير الاسمالاخير اسمالأب اسمالأم اسمالاب اسمكامل نامخانوادگی نامکامل نامپدر خاندانینام পুরোনাম নাম பெயர் முழுப்பெயர் పేరు ಹೆಸರು പേര് નામ ਨਾਮ',
        'word', 'any', 'hash', 'name', 'names', null, 'the name of a person in other languages'),
    (
        '姓氏 全名 中文名 英文名 開戶名 户名 氏名カナ 受取人 이름 성함 고객명 예금주 받는사람 ชื่อจริง นามสกุล ชื่อเต็ม ชื่อเล่น ชื่อผู้ใช้',
        'contains', 'any', 'hash', 'name', 'names', null, 'the name of a person in other scripts'),
    (
        'namn navn nama nume nev jmeno isim име نام নাম ชื่อ', 'exact', 'any', 'hash', 'name', 'names',
        '^(?!\S*[_/:\\$@0-9{}<>()=]\S*$)(?![a-z]+[.A-Z-]\S*$).*[A-Za-z\u0080-\U0010FFFF]',
        'the name of a person in other languages, where it looks like one'),
    (
        'strasse strassenname strassehausnummer ulica ulice kodpocztowy miejscowosc osoite katuosoite postinumero postitoimipaikka gatuadress postnummer postort gatuadressen husnummer postnr vejnavn gateadresse poststed '
        'mahalle sokak cadde ilce postakodu acikadres psc cislopopisne iranyitoszam utca lakcim telepules strada codpostal localitate judet '
        'alamat alamatlengkap kodepos kelurahan kecamatan kabupaten diachi sonha tenduong quanhuyen phuongxa thanhpho domicilioparticular adressecomplete adresseclient adressedelivraison adressedefacturation direcciondeenvio direcciondefacturacion enderecodeentrega indirizzodispedizione '
        'διευθυνση διεύθυνση οδος οδός ταχυδρομικοςκωδικας רחוב מיקוד улица вулиця поштовийіндекс кварира квартира شارع رمزبريدي الرمزبريدي آدرس کدپستی خیابان پتہ ঠিকানা முகவரி చిరునామా ವಿಳಾಸ വിലാസം સરનામું',
        'word', 'any', 'hash', 'address', 'names', null, 'an address in other languages'),
    (
        '详细地址 詳細地址 丁目 建物名 都道府県 우편번호 도로명 상세주소 주소 ที่อยู่ รหัสไปรษณีย์ ถนน', 'contains', 'any', 'hash', 'address', 'names', null,
        'an address in other scripts'),
    (
        'miasto kaupunki stad sehir varos oras kota πολη πόλη עיר місто مدينة شهر شہر', 'exact', 'any', 'hash', 'address', 'names', null,
        'a city in other languages'),
    (
        'sexuality pregnant sexualidade sexualidad sexualite sexualitat religionszugehoerigkeit', 'word', 'any', 'redact', 'secret', 'names', null,
        'what is private as such'),
    (
        'ipaddress ipaddr', 'word', 'any', 'hash', 'ip', 'names', null, 'an address of a network'),
    (
        'adoszam adoazonosito adoazonositojel tajszam szemelyiszam szemelyiigazolvany utlevelszam cnic nicop teudatzehut mispartehudatzehut workpermit workpermitno workpermitnumber '
        'carnetconducir carnetdeconducir permisodeconducir licenciadeconduccion rijksregisternummer rijksregisternr identiteitskaartnummer driverlicenseno driverslicenseno drivinglicenceno drivinglicencenumber dlnumber dlno '
        'numerodni numerodedni numeronie numeronif numerorfc numeropasaporte numerodepasaporte numerocedula cedulaciudadania numerodecedula cedulaidentidad numerosecuritesociale numsecu numss numerosecuritesociale '
        'permisconduire numeropermis numpermis numeropasseport numpasseport carteidentitenationale numerocni bilhetedeidentidade cartacidadao numeroutente numeropassaporte numerocpf cpfcnpj numerorg numerocnh '
        'codicefiscalepersonale numerodocumentoidentita patenteguida numeropatente numeropassaporto tesserinosanitario '
        'ausweisnr personalausweisnr passnr fuehrerscheinnr fuhrerscheinnummer sozialversicherungsnr steuerid steuernr '
        'kimlik kimliknumarasi tcno tckimlikno tcnumarasi verginumarasi vergino ehliyetno pasaportno pasaportnumarasi '
        'nomorktp noktp nomorpaspor nopaspor nomorsim nokk nomorkk cccd cmnd socmnd socccd hochieu sohochieu masothue socancuoc nokp nokadpengenalan '
        'numerpaszportu nrpaszportu dowodosobisty nrdowodu numerdowodu cisloop cislopasu obcanskyprukaz rodnecislo seriebuletin carteidentitate codnumericpersonal '
        'ajokortti passinumero korkort korkortsnummer korekort korekortnummer pasnummer forerkort passnummer personbeteckning isikutunnus '
        'αφμ αμκα αριθμοςταυτοτητας διαβατηριο διαβατήριο דרכון מספרזהות ипн рнокпп номерпаспорту егн личнакарта '
        'رقمقومي رقموطني الرقمالوطني رقمالهويةالوطنية رقمالإقامه کدملی شمارهملی شمارهپاسپورت شناختیکارڈ شناختیکارڈنمبر '
        'এনআইডি জাতীয়পরিচয়পত্র পাসপোর্ট ஆதார் கடவுச்சீட்டு ఆధార్ ಆಧಾರ್ ആധാർ આધાર ਆਧਾਰ '
        'irdnumber hicn medicareid alienno aliennumber passportid visaid greencardnumber taxref utrnumber chinumber emiratesidnumber civilidno iqamano iqamanumber nationalno omang ghanacard ghanacardnumber ninnumber bvnnumber krapin '
        'taxidentifier taxpayernumber taxpayerno nationalidno nationalidcard idcardnum citizencard citizenidno citizennumber socialinsuranceno socialinsurancenumber socialinsurancenum residencepermitno residencepermitnumber '
        'healthcardno healthcardnumber healthinsuranceno healthinsurancenumber',
        'word', 'any', 'hash', 'nationalid', 'national_ids', null, 'a national number in other languages'),
    (
        '身份证号 身分證字號 护照号 護照號碼 免許証 健康保険証 주민등록 여권 운전면허 บัตรประชาชน เลขประจำตัว หนังสือเดินทาง ใบขับขี่', 'contains', 'any', 'hash', 'nationalid', 'national_ids', null,
        'a national number in other scripts'),
    (
        'taj cin ruc dpi qid mbi bvn utr nhi nida patente', 'exact', 'any', 'hash', 'nationalid', 'national_ids', '[0-9].*[0-9].*[0-9].*[0-9].*[0-9]',
        'a national number, where it has digits')
) as w (keys, match_mode, value_type, action, kind, pack, value_pattern, note)
-- As a key is read: as one character where a letter and its accent may be one.
cross join lateral (
    select lower(normalize(raw, NFKC)) from string_to_table(w.keys, ' ') as raw
) as k (key_pattern)
where k.key_pattern <> ''
on conflict do nothing;
