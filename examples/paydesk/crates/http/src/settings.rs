//! What a process is told at its start, in its environment.

use std::{
    env, fmt, fs,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

/// What every part is told.
#[derive(Clone)]
pub struct Settings {
    /// The address to listen on: all, unless `PAYDESK_BIND` says otherwise.
    pub bind: IpAddr,
    /// `PORT`; 0 for any free one.
    pub port: u16,
    /// `COUNTERSIGN_SERIAL`: which version this is.
    pub serial: String,
}

impl Settings {
    /// Reads the environment.
    pub fn from_environment() -> Result<Self, SettingsError> {
        Ok(Self {
            bind: parsed("PAYDESK_BIND", IpAddr::V4(Ipv4Addr::UNSPECIFIED))?,
            port: parsed("PORT", 0)?,
            serial: parsed("COUNTERSIGN_SERIAL", "development".to_owned())?,
        })
    }

    /// The secret in the file that a variable names, without the line's end.
    pub fn secret(variable: &'static str) -> Result<String, SettingsError> {
        let path = PathBuf::from(Self::required(variable)?);
        let text = fs::read_to_string(&path)
            .map_err(|e| SettingsError { variable, problem: format!("`{}` can not be read: {e}", path.display()) })?;
        let secret = text.trim_end_matches(['\r', '\n']).to_owned();
        if secret.len() < SECRET_MIN_BYTES {
            return Err(SettingsError {
                variable,
                problem: format!("the secret is shorter than {SECRET_MIN_BYTES} bytes"),
            });
        }
        Ok(secret)
    }

    /// A guarded value: the file of its name in `PAYDESK_VALUES`, `/run/countersign/values` if not set.
    pub fn value(name: &'static str) -> Result<String, SettingsError> {
        let folder = env::var_os("PAYDESK_VALUES").map_or_else(|| PathBuf::from(VALUES), PathBuf::from);
        let path = folder.join(name);
        let text = fs::read_to_string(&path).map_err(|e| SettingsError {
            variable: name,
            problem: format!("`{}` can not be read: {e}", path.display()),
        })?;
        if text.is_empty() {
            return Err(SettingsError { variable: name, problem: "the value is empty".to_owned() });
        }
        Ok(text)
    }

    /// A variable that must be there.
    pub fn required(variable: &'static str) -> Result<String, SettingsError> {
        env::var(variable).map_err(|_| SettingsError { variable, problem: "is not set".to_owned() })
    }
}

/// Where Countersign puts guarded values.
const VALUES: &str = "/run/countersign/values";
/// Shorter ones can be guessed.
const SECRET_MIN_BYTES: usize = 16;

/// Why a process can not start.
#[derive(Debug)]
pub struct SettingsError {
    /// Which variable.
    pub variable: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.problem)
    }
}

impl std::error::Error for SettingsError {}

fn parsed<T: std::str::FromStr>(variable: &'static str, otherwise: T) -> Result<T, SettingsError> {
    match env::var(variable) {
        Ok(text) => text.parse().map_err(|_| SettingsError { variable, problem: format!("`{text}` is not valid") }),
        Err(_) => Ok(otherwise),
    }
}
