//! Signed tokens (JWT, RFC 7519; JWS, RFC 7515) and the keys that may sign them (JWK Set, RFC 7517).
//!
//! It refuses to know what a claim means. A token that does not verify is no token: there is no error that a client could
//! act on.

use std::{path::PathBuf, sync::Once};

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    decode, decode_header,
    errors::{Error, ErrorKind},
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse},
    signature::{self, Verifier},
};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::{Map, Value};

use crate::{
    files,
    limits::{MAX_TOKEN_KEYS, TOKEN_LEEWAY_S},
};

/// Why keys of tokens can not be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenKeysError {
    /// The file can not be read, or is larger than 1 MiB.
    #[error("`{}` can not be read", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a JWK Set.
    #[error("`{}` is not a JWK Set (RFC 7517)", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Nothing in it can verify.
    #[error("`{}` has no public key of Ed25519, P-256 or RSA", path.display())]
    NoKey {
        /// Which file.
        path: PathBuf,
    },
    /// More keys than a token is tried with.
    #[error("`{}` has {count} keys, more than {MAX_TOKEN_KEYS}", path.display())]
    TooMany {
        /// Which file.
        path: PathBuf,
        /// How many.
        count: usize,
    },
}

/// The keys that may sign.
pub(crate) struct TokenKeys {
    keys: Vec<TokenKey>,
}

struct TokenKey {
    id: Option<String>,
    key: DecodingKey,
    validation: Validation,
}

/// What a verified token says.
pub(crate) struct Claims {
    claims: Map<String, Value>,
    /// When it is over, in seconds since 1970.
    pub(crate) until: u64,
}

impl TokenKeys {
    /// Reads the keys. Tokens must be for `audience`, if there is one. Blocks for as long as the file takes.
    pub(crate) fn load(path: &str, audience: Option<&str>) -> Result<Self, TokenKeysError> {
        install_provider();
        let path = PathBuf::from(path);
        let bytes = match files::read(&path) {
            Ok(bytes) => bytes,
            Err(source) => return Err(TokenKeysError::Read { path, source }),
        };
        let set: JwkSet = match serde_json::from_slice(&bytes) {
            Ok(set) => set,
            Err(source) => return Err(TokenKeysError::Parse { path, source }),
        };
        // Keys of other kinds are to be ignored (RFC 7517 section 5), and among them those that are secrets: whoever knows
        // what verifies with such a key can sign with it.
        let keys: Vec<_> = set.keys.iter().filter_map(|key| TokenKey::new(key, audience)).collect();
        match keys.len() {
            0 => Err(TokenKeysError::NoKey { path }),
            count if count > MAX_TOKEN_KEYS => Err(TokenKeysError::TooMany { path, count }),
            _ => Ok(Self { keys }),
        }
    }

    /// What a token says, if one of the keys signed it and it holds now.
    pub(crate) fn verify(&self, token: &[u8]) -> Option<Claims> {
        let header = decode_header(token).ok()?;
        // Extensions that must be understood (RFC 7515 section 4.1.11), of which none is.
        if header.crit.is_some() {
            return None;
        }
        let may_be = |key: &&TokenKey| {
            key.validation.algorithms.contains(&header.alg)
                && (header.kid.is_none() || key.id.is_none() || header.kid == key.id)
        };
        self.keys.iter().filter(may_be).find_map(|key| {
            let claims = decode::<Map<String, Value>>(token, &key.key, &key.validation).ok()?.claims;
            // The library has checked that it is a number; a fraction of a second is nothing.
            let until = claims.get("exp").and_then(|exp| exp.as_u64().or_else(|| exp.as_f64().map(whole)))?;
            Some(Claims { claims, until: until.saturating_add(TOKEN_LEEWAY_S) })
        })
    }
}

/// Seconds without their fraction; what does not fit is the end of time.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, and NaN is 0: over")]
const fn whole(seconds: f64) -> u64 {
    seconds as u64
}

impl TokenKey {
    /// Nothing if it is a key of a kind that is not used here.
    fn new(jwk: &Jwk, audience: Option<&str>) -> Option<Self> {
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            _ => return None,
        };
        let common = &jwk.common;
        let is_for_signatures = common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
        let is_of_algorithm =
            common.key_algorithm.is_none_or(|named| Algorithm::try_from(named).ok() == Some(algorithm));
        if !is_for_signatures || !is_of_algorithm {
            return None;
        }
        let mut validation = Validation::new(algorithm);
        validation.leeway = TOKEN_LEEWAY_S;
        validation.validate_nbf = true;
        validation.validate_aud = audience.is_some();
        if let Some(audience) = audience {
            validation.set_audience(&[audience]);
            validation.set_required_spec_claims(&["exp", "aud"]);
        }
        Some(Self { id: common.key_id.clone(), key: DecodingKey::from_jwk(jwk).ok()?, validation })
    }
}

impl Claims {
    /// A claim as text: itself, or a whole number in digits.
    pub(crate) fn text(&self, claim: &str) -> Option<String> {
        text(self.claims.get(claim)?)
    }

    /// Whether a claim has this value or is a list with it.
    pub(crate) fn has(&self, claim: &str, value: &str) -> bool {
        let is = |one: &Value| {
            text(one).is_some_and(|text| text == value) || one.as_bool().is_some_and(|b| b.to_string() == value)
        };
        match self.claims.get(claim) {
            Some(Value::Array(list)) => list.iter().any(is),
            Some(one) => is(one),
            None => false,
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}

/// The signatures of tokens are verified by the library that TLS uses too.
fn install_provider() {
    static ONCE: Once = Once::new();
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: no_signer,
        verifier_factory: verifier,
        key_utils: KeyUtils::new_unimplemented(),
    };
    ONCE.call_once(|| {
        // It fails only if somebody else in this process was first, whose tokens are verified then as they choose.
        let _second = PROVIDER.install_default();
    });
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::UnsupportedAlgorithm.into())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let fits = matches!(
        (algorithm, key.family()),
        (Algorithm::EdDSA, AlgorithmFamily::Ed)
            | (Algorithm::ES256, AlgorithmFamily::Ec)
            | (Algorithm::RS256, AlgorithmFamily::Rsa)
    );
    if !fits {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    Ok(Box::new(RingVerifier { algorithm: *algorithm, key: key.clone() }))
}

struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], given: &Vec<u8>) -> Result<(), signature::Error> {
        let verified = match (self.algorithm, self.key.kind()) {
            (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(key)) => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, given)
            }
            (Algorithm::ES256, DecodingKeyKind::SecretOrDer(key)) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(message, given)
            }
            (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, given)
            }
            _ => return Err(signature::Error::new()),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
