//! Who a client is: nobody becomes another by what he sends, and nobody gets an error for it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use edge::{ApplyError, Edge, Limits};
use model::{
    Digest,
    route::{CohortRule, Identity, Route, RouteState::Open, Split, TlsFiles},
};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::*;

const TRIAL: &str = "paydesk-000002";
const CONTROL: &str = "paydesk-000001";

#[expect(clippy::disallowed_methods, reason = "files of a test need not survive a crash")]
fn put(path: &Path, text: &str) -> String {
    std::fs::write(path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "the library that verifies tokens takes no other clock")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Signers of every kind, and their public keys.
struct Signers {
    ed: Ed25519KeyPair,
    ec: EcdsaKeyPair,
    rsa: RsaKeyPair,
}

impl Signers {
    fn new() -> Self {
        let random = SystemRandom::new();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self {
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
            ec: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &random).unwrap(),
            // Made for these tests, because the library can not make one:
            // openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -outform DER
            rsa: RsaKeyPair::from_pkcs8(include_bytes!("rsa-2048.pk8")).unwrap(),
        }
    }

    fn jwks(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        let rsa = ring::signature::RsaPublicKeyComponents::<Vec<u8>>::from(self.rsa.public_key());
        json!({"keys": [
            {"kty": "oct", "kid": "secret", "k": BASE64.encode(b"a secret that everybody knows")},
            {"kty": "new kind", "kid": "later"},
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "use": "sig", "x": BASE64.encode(self.ed.public_key())},
            {"kty": "EC", "crv": "P-256", "kid": "ec", "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..])},
            {"kty": "RSA", "kid": "rsa", "alg": "RS256", "n": BASE64.encode(rsa.n), "e": BASE64.encode(rsa.e)},
        ]})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match header["alg"].as_str().unwrap() {
            "ES256" => self.ec.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            "RS256" => {
                let mut signature = vec![0; 256];
                self.rsa.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
            "HS256" => {
                // The public key as a secret, which a verifier that trusts `alg` would take.
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.ed.public_key().as_ref());
                ring::hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
            }
            "none" => Vec::new(),
            _ => self.ed.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", BASE64.encode(signature))
    }

    fn ed_token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": "EdDSA", "kid": "ed"}), claims)
    }
}

struct Stage {
    edge: Edge,
    listen: SocketAddr,
    old: Instance,
    new: Instance,
    folder: tempfile::TempDir,
    signers: Signers,
    revision: u64,
}

impl Stage {
    async fn new() -> Self {
        Self {
            edge: started(Limits::default()).await,
            listen: free_address(),
            old: Instance::start().await,
            new: Instance::start().await,
            folder: tempfile::tempdir().unwrap(),
            signers: Signers::new(),
            revision: 0,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn token_identity(&self, audience: Option<&str>) -> Identity {
        Identity::Token {
            header: "authorization".to_owned(),
            keys: put(&self.path("keys.json"), &self.signers.jwks().to_string()),
            claim: "sub".to_owned(),
            audience: audience.map(str::to_owned),
        }
    }

    async fn apply(&mut self, identity: Vec<Identity>, share: u8, cohort: Vec<CohortRule>) {
        self.apply_with(identity, share, cohort, |_| {}).await.unwrap();
    }

    async fn apply_with(
        &mut self,
        identity: Vec<Identity>,
        share: u8,
        cohort: Vec<CohortRule>,
        change: impl FnOnce(&mut Route),
    ) -> Result<(), ApplyError> {
        let backends = vec![backend(1, 1, &[self.old.address]), backend(2, 1, &[self.new.address])];
        let mut route = Route { identity, ..route(self.listen, Open, backends) };
        route.split = Some(Split { cohort, ..split(share, vec![]) });
        change(&mut route);
        self.revision += 1;
        self.edge.apply(table(1, self.revision, vec![route])).await.map(|_| ())
    }

    /// The version that a client with this token gets, on a connection of its own.
    async fn version(&self, token: &str) -> String {
        let mut client = Client::connect(self.listen).await;
        let got = client.get_with("/", &[("authorization", &format!("Bearer {token}"))]).await.unwrap();
        assert_eq!(got.status, 200);
        got.serial().to_owned()
    }
}

fn named(identity: &str) -> CohortRule {
    CohortRule::Named(Digest::of(identity.as_bytes()))
}

#[tokio::test]
async fn tokens_that_verify_name_their_client_and_no_others_do() {
    let mut stage = Stage::new().await;
    let by_token = stage.token_identity(None);
    stage.apply(vec![by_token], 0, vec![named("token:alice")]).await;
    let later = now() + 3_600;
    let alice = json!({"sub": "alice", "exp": later});
    let signers = &stage.signers;
    let other = Signers::new();
    for alg in ["EdDSA", "ES256", "RS256"] {
        let token = signers.sign(&json!({"alg": alg}), &alice);
        assert_eq!(stage.version(&token).await, TRIAL, "{alg}");
    }
    let good = signers.ed_token(&alice);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    let mallory = BASE64.encode(json!({"sub": "mallory", "exp": later}).to_string());
    let hs_oct = {
        let message = format!("{}.{claims}", BASE64.encode(json!({"alg": "HS256", "kid": "secret"}).to_string()));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"a secret that everybody knows");
        let tag = ring::hmac::sign(&key, message.as_bytes());
        format!("{message}.{}", BASE64.encode(tag))
    };
    let own_key = json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(other.ed.public_key())});
    let refused = [
        ("no signature", format!("{message}.")),
        ("two parts", message.to_owned()),
        ("four parts", format!("{good}.{signature}")),
        ("another's signature", other.ed_token(&alice)),
        ("another's, with its own key in the head", other.sign(&json!({"alg": "EdDSA", "jwk": own_key}), &alice)),
        ("the signature of other claims", format!("{header}.{mallory}.{signature}")),
        ("none", signers.sign(&json!({"alg": "none"}), &alice)),
        ("None", signers.sign(&json!({"alg": "None", "typ": "JWT"}), &alice)),
        ("a public key as secret", signers.sign(&json!({"alg": "HS256", "kid": "ed"}), &alice)),
        ("a secret that stands among the keys", hs_oct),
        ("another kind of key", signers.sign(&json!({"alg": "EdDSA", "kid": "rsa"}), &alice)),
        ("an unknown key", signers.sign(&json!({"alg": "EdDSA", "kid": "nobody"}), &alice)),
        ("another algorithm", signers.sign(&json!({"alg": "RS512"}), &alice)),
        ("extensions", signers.sign(&json!({"alg": "EdDSA", "crit": ["b64"], "b64": false}), &alice)),
        ("over", signers.ed_token(&json!({"sub": "alice", "exp": now() - 3_600}))),
        ("not yet", signers.ed_token(&json!({"sub": "alice", "exp": later, "nbf": now() + 1_800}))),
        ("for ever", signers.ed_token(&json!({"sub": "alice"}))),
        ("until a word", signers.ed_token(&json!({"sub": "alice", "exp": "tomorrow"}))),
        ("until a number in words", signers.ed_token(&json!({"sub": "alice", "exp": later.to_string()}))),
        ("until never", signers.ed_token(&json!({"sub": "alice", "exp": null}))),
        ("another name", signers.ed_token(&json!({"sub": "alice ", "exp": later}))),
        ("a list of names", signers.ed_token(&json!({"sub": ["alice"], "exp": later}))),
        ("no name", signers.ed_token(&json!({"exp": later}))),
        ("nothing", String::new()),
        ("garbage", "\u{7f}..\u{1}".replace(['\u{7f}', '\u{1}'], "%")),
        ("much", "a.".repeat(10_000)),
    ];
    for (what, token) in refused {
        assert_eq!(stage.version(&token).await, CONTROL, "{what}");
    }
    // Two tokens are none: nobody can know which one the component reads.
    let (bearer, mallorys) = (format!("Bearer {good}"), signers.ed_token(&json!({"sub": "mallory", "exp": later})));
    let mut client = Client::connect(stage.listen).await;
    let got = client.get_with("/", &[("authorization", &mallorys), ("authorization", &bearer)]).await.unwrap();
    assert_eq!(got.serial(), CONTROL);
    // One connection, several clients: whoever shares it is told apart.
    for (token, wanted) in [(&bearer, TRIAL), (&mallorys, CONTROL), (&bearer, TRIAL)] {
        assert_eq!(client.get_with("/", &[("authorization", token)]).await.unwrap().serial(), wanted);
    }
    assert_eq!(client.get("/").await.unwrap().serial(), CONTROL);
    let names: Vec<_> = stage.edge.clients().versions.into_iter().flat_map(|row| row.seen).collect();
    assert!(names.iter().any(|client| client.identity == "token:alice"), "{names:?}");
    assert!(!names.iter().any(|client| client.identity.contains("tomorrow")), "{names:?}");
}

#[tokio::test]
async fn a_token_that_ends_on_an_open_connection_is_one_no_more() {
    let mut stage = Stage::new().await;
    let by_token = stage.token_identity(None);
    stage.apply(vec![by_token], 0, vec![named("token:alice")]).await;
    // Within the minute that clocks may differ by, and over three seconds from now.
    let token = format!("Bearer {}", stage.signers.ed_token(&json!({"sub": "alice", "exp": now() - 57})));
    let mut client = Client::connect(stage.listen).await;
    assert_eq!(client.get_with("/", &[("authorization", &token)]).await.unwrap().serial(), TRIAL);
    let client = &tokio::sync::Mutex::new(client);
    let token = &token;
    until("it is over", || async {
        client.lock().await.get_with("/", &[("authorization", token)]).await.unwrap().serial() == CONTROL
    })
    .await;
}

#[tokio::test]
async fn a_token_must_be_for_whom_the_route_says() {
    let mut stage = Stage::new().await;
    let for_the_shop = stage.token_identity(Some("shop"));
    stage.apply(vec![for_the_shop], 0, vec![named("token:7")]).await;
    let later = now() + 3_600;
    let cases = [
        (json!({"sub": 7, "exp": later, "aud": "shop"}), TRIAL),
        (json!({"sub": "7", "exp": later, "aud": ["bank", "shop"]}), TRIAL),
        (json!({"sub": 7, "exp": later, "aud": "bank"}), CONTROL),
        (json!({"sub": 7, "exp": later}), CONTROL),
        (json!({"sub": 7.0, "exp": later, "aud": "shop"}), CONTROL),
    ];
    for (claims, wanted) in cases {
        assert_eq!(stage.version(&stage.signers.ed_token(&claims)).await, wanted, "{claims}");
    }
}

#[tokio::test]
async fn cohorts_by_claim_go_to_the_trial_and_are_not_compared() {
    let mut stage = Stage::new().await;
    let by_token = stage.token_identity(None);
    let staff = CohortRule::Claim { name: "group".to_owned(), value: "staff".to_owned() };
    let beta = CohortRule::Claim { name: "beta".to_owned(), value: "true".to_owned() };
    stage.apply(vec![by_token], 0, vec![staff, beta]).await;
    let later = now() + 3_600;
    let cases = [
        (json!({"sub": "a", "exp": later, "group": "staff"}), TRIAL),
        (json!({"sub": "b", "exp": later, "group": ["people", "staff"]}), TRIAL),
        (json!({"exp": later, "group": "staff"}), TRIAL),
        (json!({"sub": "c", "exp": later, "beta": true}), TRIAL),
        (json!({"sub": "d", "exp": later, "group": "staffing"}), CONTROL),
        (json!({"sub": "e", "exp": later, "group": {"staff": true}}), CONTROL),
        (json!({"sub": "f", "exp": later, "groups": "staff"}), CONTROL),
    ];
    for (claims, wanted) in cases {
        assert_eq!(stage.version(&stage.signers.ed_token(&claims)).await, wanted, "{claims}");
    }
    let from = stage.edge.ticks(0).next;
    until("two more ticks", || async { stage.edge.ticks(0).next >= from + 2 }).await;
    let rows = stage.edge.ticks(0).rows;
    assert_eq!(rows.iter().map(|row| row.trial.requests).sum::<u64>(), 0);
    assert_eq!(rows.iter().map(|row| row.control.requests).sum::<u64>(), 3);
    assert_eq!(counted(&stage.edge, 2).requests, 4);
}

#[tokio::test]
async fn a_cookie_keeps_a_browser_where_its_address_put_it() {
    let mut stage = Stage::new().await;
    let by_cookie = || vec![Identity::Cookie { name: "at".to_owned() }];
    stage.apply(by_cookie(), 50, vec![]).await;
    let mut given = Vec::new();
    for n in 100..130 {
        let address = std::net::IpAddr::from([127, 251, (std::process::id() % 250) as u8, n]);
        let mut client = Client::connect_from(address, stage.listen).await;
        let first = client.get("/").await.unwrap();
        let cookie = first.header("set-cookie").to_owned();
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax");
        // Without it, the client stays by its address; with it, at whatever address it is.
        assert_eq!(client.get("/").await.unwrap().serial(), first.serial());
        let mut elsewhere = Client::connect(stage.listen).await;
        let again = elsewhere.get_with("/", &[("cookie", &format!("other=1; {pair}"))]).await.unwrap();
        assert_eq!((again.serial(), again.header("set-cookie")), (first.serial(), ""));
        given.push((pair.to_owned(), first.serial().to_owned()));
    }
    let trials = given.iter().filter(|(_, serial)| serial == TRIAL).count();
    assert!((5..26).contains(&trials), "{trials} of 30");
    // What is not in the form that the edge gives is no cookie: the client goes by its address and gets a new one.
    let mut client = Client::connect(stage.listen).await;
    let by_address = client.get("/").await.unwrap().serial().to_owned();
    let long = format!("at={}", "0".repeat(20_000));
    for wrong in [
        "at=",
        "at=1",
        "at=0123456789abcdef0123456789abcdeF",
        "bat=00000000000000000000000000000000",
        &long,
        "at",
        ";;=;",
    ] {
        let got = client.get_with("/", &[("cookie", wrong)]).await.unwrap();
        assert_eq!(got.serial(), by_address, "{wrong}");
        assert!(got.header("set-cookie").starts_with("at="), "{wrong}");
    }
    // A client that takes another's cookie is where that one is, and an identity that proves nothing is in no cohort.
    let (pair, serial) = &given[0];
    assert_eq!(client.get_with("/", &[("cookie", pair)]).await.unwrap().serial(), serial);
    let value = pair.strip_prefix("at=").unwrap();
    stage.apply(by_cookie(), 0, vec![named(&format!("cookie:{value}")), named("address:127.0.0.1")]).await;
    assert_eq!(client.get_with("/", &[("cookie", pair)]).await.unwrap().serial(), CONTROL);
    assert_eq!(client.get("/").await.unwrap().serial(), CONTROL);
}

/// An authority, the edge's certificate, and clients of that authority and of another.
struct Certificates {
    files: TlsFiles,
    server: CertificateDer<'static>,
    client: (CertificateDer<'static>, rcgen::KeyPair),
    stranger: (CertificateDer<'static>, rcgen::KeyPair),
}

fn certificates(stage: &Stage) -> Certificates {
    let authority = || {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        (certificate, rcgen::Issuer::new(params, key))
    };
    let client = |issuer: &rcgen::Issuer<'_, rcgen::KeyPair>| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["bank.example".to_owned()]).unwrap();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        (params.signed_by(&key, issuer).unwrap().der().clone(), key)
    };
    let ((trusted, issuer), (_, other)) = (authority(), authority());
    let server = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
    let files = TlsFiles {
        certificates: put(&stage.path("web.pem"), &server.cert.pem()),
        key: put(&stage.path("web.key"), &server.signing_key.serialize_pem()),
        clients: Some(put(&stage.path("web.clients"), &trusted.pem())),
    };
    Certificates { files, server: server.cert.der().clone(), client: client(&issuer), stranger: client(&other) }
}

async fn connect(
    stage: &Stage,
    server: &CertificateDer<'static>,
    shows: Option<&(CertificateDer<'static>, rcgen::KeyPair)>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(server.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match shows {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            builder.with_client_auth_cert(vec![certificate.clone()], key).unwrap()
        }
    };
    let stream = TcpStream::connect(stage.listen).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("shop.example").unwrap(), stream).await
}

#[tokio::test]
async fn certificates_name_the_key_that_was_proved_and_strangers_get_no_connection() {
    let mut stage = Stage::new().await;
    let Certificates { files, server, client, stranger } = certificates(&stage);
    let key = Digest::of(&rcgen::PublicKeyData::subject_public_key_info(&client.1));
    let by_both = || vec![Identity::Certificate, Identity::Cookie { name: "at".to_owned() }];
    let cohort = vec![named(&format!("certificate:{}", key.hex()))];
    stage.apply_with(by_both(), 0, cohort, |route| route.tls = Some(files.clone())).await.unwrap();
    let mut known = Client::over(connect(&stage, &server, Some(&client)).await.unwrap()).await;
    let got = known.get("/").await.unwrap();
    assert_eq!((got.serial(), got.header("set-cookie")), (TRIAL, ""));
    let mut nobody = Client::over(connect(&stage, &server, None).await.unwrap()).await;
    let got = nobody.get("/").await.unwrap();
    assert_eq!(got.serial(), CONTROL);
    assert!(got.header("set-cookie").ends_with("; Secure"), "{got:?}");
    // In TLS 1.3 a client learns with its first read that it was refused.
    if let Ok(stream) = connect(&stage, &server, Some(&stranger)).await {
        let mut stream = stream;
        let read = tokio::io::AsyncReadExt::read_u8(&mut stream).await;
        assert!(read.is_err(), "{read:?}");
    }
    let seen: Vec<_> = stage.edge.clients().versions.into_iter().flat_map(|row| row.seen).collect();
    assert!(seen.iter().any(|client| client.identity == format!("certificate:{}", key.hex())), "{seen:?}");
    // Without authorities nobody can be known by a certificate, and such a table changes nothing.
    let without = TlsFiles { clients: None, ..files.clone() };
    let refused = stage.apply_with(by_both(), 0, vec![], |route| route.tls = Some(without)).await;
    assert!(matches!(refused, Err(ApplyError::Table(_))), "{refused:?}");
    let junk = TlsFiles { clients: Some(put(&stage.path("junk"), "no certificate")), ..files };
    let refused = stage.apply_with(by_both(), 0, vec![], |route| route.tls = Some(junk)).await;
    assert!(matches!(refused, Err(ApplyError::Tls { .. })), "{refused:?}");
    assert_eq!(known.get("/").await.unwrap().serial(), TRIAL);
}

#[tokio::test]
async fn keys_that_can_not_be_used_are_refused_and_change_nothing() {
    let mut stage = Stage::new().await;
    stage.apply(vec![], 0, vec![]).await;
    let token = |keys: String| Identity::Token {
        header: "authorization".to_owned(),
        keys,
        claim: "sub".to_owned(),
        audience: None,
    };
    let missing = stage.path("missing").to_str().unwrap().to_owned();
    let only_secrets =
        json!({"keys": [{"kty": "oct", "k": "AAAA"}, {"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}]});
    let cases = [
        (missing.clone(), format!("`{missing}` can not be read")),
        (put(&stage.path("junk"), "{}"), "is not a JWK Set (RFC 7517)".to_owned()),
        (put(&stage.path("none"), &only_secrets.to_string()), "has no public key of Ed25519, P-256 or RSA".to_owned()),
    ];
    for (keys, wanted) in cases {
        match stage.apply_with(vec![token(keys)], 0, vec![], |_| {}).await {
            Err(error @ ApplyError::Identity { .. }) => {
                let source = std::error::Error::source(&error).unwrap().to_string();
                assert!(source.contains(&wanted), "{source}");
                assert_eq!(error.hint(), "give a JWK Set of public keys in a file that the edge can read");
            }
            other => panic!("{other:?}"),
        }
    }
    let wrong = [
        Identity::Token {
            header: "a header".to_owned(),
            keys: missing.clone(),
            claim: "sub".to_owned(),
            audience: None,
        },
        Identity::Token { header: "authorization".to_owned(), keys: missing, claim: String::new(), audience: None },
        Identity::Cookie { name: "a=b; Domain=example".to_owned() },
    ];
    for identity in wrong {
        let refused = stage.apply_with(vec![identity], 0, vec![], |_| {}).await;
        assert!(matches!(refused, Err(ApplyError::Table(_))), "{refused:?}");
    }
    assert_eq!(stage.edge.counts().revision, 1);
    assert_eq!(get(stage.listen, "/").await.serial(), CONTROL);
}
