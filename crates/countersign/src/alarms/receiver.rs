//! Who is told of alarms, as `settings.json` says: a webhook, an Alertmanager, a command. Secrets are in files.
//!
//! What must be read before a process confines itself (secrets, certificates) is read when a receiver is opened. It
//! writes nothing.

use std::{path::PathBuf, sync::Arc};

use hyper::Uri;
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject as _};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    confine::{Confinement, Sockets},
    fault::{Because as _, Fault, Kind},
};

/// How often somebody is told again, if the settings do not say: often enough that a lost message is noticed, seldom
/// enough that nobody learns to ignore it.
const REPEAT_S: u64 = 300;
/// Alertmanager forgets an alert that nobody sends again (its `resolve_timeout` is five minutes).
const ALERTMANAGER_REPEAT_S: u64 = 60;
/// Nobody is told more often than this, whatever the settings say.
const REPEAT_MIN_S: u64 = 1;
/// Where Debian and Ubuntu keep the certificates of authorities.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// What asking a name server reads, where the host has it.
const NAME_FILES: [&str; 4] = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf"];

/// Who is told, as the settings say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ReceiverSetting {
    /// A JSON document is sent by `POST`; any answer of 2xx acknowledges it.
    Webhook(HttpSetting),
    /// Alerts are sent to `POST /api/v2/alerts` of an Alertmanager.
    Alertmanager(HttpSetting),
    /// A program is started with the JSON document on its standard input; exit code 0 acknowledges it.
    Command(CommandSetting),
}

/// Somebody who is told over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSetting {
    /// `http://` or `https://`; for an Alertmanager the part before `/api/v2`.
    pub url: String,
    /// A file with one line, which is sent as `Authorization: Bearer …`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Certificates of the authorities that are believed, in PEM; those of the host if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Seconds until it is told again, as long as nobody acknowledges the alarm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_s: Option<u64>,
}

/// A program that is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSetting {
    /// The program by its whole path, and its arguments.
    pub argv: Vec<String>,
    /// Seconds until it is told again, as long as nobody acknowledges the alarm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_s: Option<u64>,
}

/// Who is told, ready to be.
#[derive(Clone)]
pub struct Receiver {
    /// What it is called in the outbox and in messages: what the settings say, which is no secret.
    pub name: String,
    /// Seconds until it is told again.
    pub repeat_s: u64,
    /// The way.
    pub way: Way,
}

/// How somebody is told.
#[derive(Clone)]
pub enum Way {
    /// The JSON document of [`super::message`].
    Webhook(Place),
    /// Alertmanager's API v2.
    Alertmanager(Place),
    /// A program with the JSON document on its standard input.
    Command(Vec<String>),
}

/// Where a document is sent to.
#[derive(Clone)]
pub struct Place {
    /// Where.
    pub uri: Uri,
    /// The host of it.
    pub host: String,
    /// The port of it.
    pub port: u16,
    /// Who is believed to be that host, with `https`.
    pub tls: Option<Arc<ClientConfig>>,
    /// What is sent as `Authorization: Bearer …`.
    pub token: Option<Zeroizing<String>>,
}

impl Receiver {
    /// Reads what a setting names.
    ///
    /// # Errors
    /// A URL, a file or a program that can not be used.
    pub fn open(setting: &ReceiverSetting) -> Result<Self, Fault> {
        let (name, repeat_s, way) = match setting {
            ReceiverSetting::Webhook(http) => {
                (http.url.clone(), http.repeat_s.unwrap_or(REPEAT_S), Way::Webhook(Place::open(http, "")?))
            }
            ReceiverSetting::Alertmanager(http) => (
                http.url.clone(),
                http.repeat_s.unwrap_or(ALERTMANAGER_REPEAT_S),
                Way::Alertmanager(Place::open(http, "/api/v2/alerts")?),
            ),
            ReceiverSetting::Command(command) => {
                let program = command.argv.first().cloned().unwrap_or_default();
                if !program.starts_with('/') {
                    return Err(Fault::new(Kind::Usage, format!("`{program}` is no program to tell alarms to"))
                        .hint("write its whole path first in `argv`"));
                }
                (program, command.repeat_s.unwrap_or(REPEAT_S), Way::Command(command.argv.clone()))
            }
        };
        Ok(Self { name: without_password(&name), repeat_s: repeat_s.max(REPEAT_MIN_S), way })
    }

    /// All of them.
    ///
    /// # Errors
    /// The first that can not be used, or two that can not be told apart.
    pub fn open_all(settings: &[ReceiverSetting]) -> Result<Vec<Self>, Fault> {
        let mut all: Vec<Self> = Vec::new();
        for setting in settings {
            let receiver = Self::open(setting)
                .map_err(|f| f.context("a receiver of `alarms` in settings.json can not be used"))?;
            if all.iter().any(|r| r.name == receiver.name) {
                return Err(Fault::new(Kind::Usage, format!("`alarms` names `{}` twice", receiver.name)));
            }
            all.push(receiver);
        }
        Ok(all)
    }

    /// Whether it keeps alerts itself, and forgets those that nobody sends again.
    pub const fn keeps_alerts(&self) -> bool {
        matches!(self.way, Way::Alertmanager(_))
    }

    /// What a process needs to tell it.
    pub fn allow(&self, confinement: &mut Confinement) {
        let place = match &self.way {
            Way::Webhook(place) | Way::Alertmanager(place) => place,
            Way::Command(argv) => {
                let allowed = std::mem::replace(confinement, Confinement::nothing()).with_programs();
                *confinement = allowed;
                confinement.execute.extend(argv.first().map(PathBuf::from).filter(|p| p.exists()));
                return;
            }
        };
        if let Some(ports) = &mut confinement.connect_tcp {
            ports.push(place.port);
        }
        if confinement.sockets == Sockets::Unix {
            confinement.sockets = Sockets::Tcp;
        }
        if place.host.parse::<std::net::IpAddr>().is_err() {
            confinement.sockets = Sockets::TcpAndUdp;
            confinement.read.extend(NAME_FILES.iter().map(PathBuf::from).filter(|p| p.exists()));
        }
    }
}

impl Place {
    fn open(setting: &HttpSetting, path: &str) -> Result<Self, Fault> {
        let wrong = || {
            Fault::new(Kind::Usage, format!("`{}` is not an address to send to", without_password(&setting.url)))
                .hint("write `http://HOST:PORT/path` or `https://HOST/path`; put what is secret into `token_file`")
        };
        let text = format!("{}{path}", if path.is_empty() { &setting.url } else { setting.url.trim_end_matches('/') });
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let host = uri.host().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
        if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
            return Err(wrong());
        }
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tls = secure.then(|| tls(setting.ca_file.clone())).transpose()?;
        let token = setting.token_file.as_ref().map(secret).transpose()?;
        Ok(Self { uri, host, port, tls, token })
    }
}

/// A URL never shows what stands before `@`, should somebody have put a password there.
fn without_password(url: &str) -> String {
    match (url.find("://"), url.find('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            let (head, tail) = (url.get(..scheme + 3).unwrap_or_default(), url.get(at..).unwrap_or_default());
            format!("{head}…{tail}")
        }
        _ => url.to_owned(),
    }
}

fn secret(path: &PathBuf) -> Result<Zeroizing<String>, Fault> {
    let text = std::fs::read_to_string(path)
        .because(Kind::Usage, format!("the token file `{}` can not be read", path.display()))?;
    let token = Zeroizing::new(text.trim().to_owned());
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Fault::new(Kind::Input, format!("`{}` holds no token of one line", path.display())));
    }
    Ok(token)
}

fn tls(ca_file: Option<PathBuf>) -> Result<Arc<ClientConfig>, Fault> {
    let path = ca_file.unwrap_or_else(|| PathBuf::from(AUTHORITIES));
    let unreadable = || format!("the certificates `{}` can not be read", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&path).because(Kind::Usage, unreadable())? {
        let certificate = certificate.because(Kind::Usage, unreadable())?;
        // One that is not understood is not believed; the others are.
        if let Err(error) = roots.add(certificate) {
            tracing::debug!(%error, "a certificate of an authority is passed over");
        }
    }
    if roots.is_empty() {
        return Err(Fault::new(Kind::Usage, format!("`{}` holds no certificate of an authority", path.display())));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .because(Kind::Internal, "no version of TLS")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
