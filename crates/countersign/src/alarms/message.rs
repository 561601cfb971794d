//! What is sent of an alarm: a JSON document for webhooks and commands, alerts for Alertmanager's API v2.
//!
//! Names of systems, components and processes, and the reason in words; never a value, a person's name or a body.

use gate::alarms::Condition;
use ledger::statement::v1::{AlarmAbout, AlarmKind};
use model::{EnvironmentName, SystemName, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// An alert that nobody sends again is over at Alertmanager after this: longer than a restart of this host's processes takes.
const ALERT_LIFE_S: u64 = 900;

/// An alarm as it is kept and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// What it says.
    pub what: AlarmKind,
    /// The system, if it is about one.
    pub system: Option<SystemName>,
    /// The environment, if it is about one.
    pub environment: Option<EnvironmentName>,
    /// What it is about.
    pub about: AlarmAbout,
    /// Why, in words for people.
    pub words: String,
    /// Since when.
    pub since: Timestamp,
    /// Since when it is over, if it is.
    pub over: Option<Timestamp>,
    /// The log index of its statement, once the log has it.
    pub index: Option<u64>,
}

impl Message {
    /// What it is about and says.
    pub fn condition(&self) -> Condition {
        Condition {
            what: self.what,
            system: self.system.clone(),
            environment: self.environment.clone(),
            about: self.about.clone(),
        }
    }

    /// What is sent to webhooks and commands: one of `alarms`.
    fn json(&self) -> Value {
        let words = if self.over.is_some() { format!("over: {}", self.words) } else { self.words.clone() };
        json!({
            "alarm": self.what.name(), "firing": self.over.is_none(), "words": words,
            "system": self.system, "environment": self.environment, "about": self.about,
            "since": self.since.to_string(), "over": self.over.map(|t| t.to_string()), "statement": self.index,
        })
    }

    /// An alert of Alertmanager's API v2 (`prometheus/alertmanager:api/v2/openapi.yaml`, `postableAlert`): the labels say
    /// which alert it is, and stay the same from its beginning to its end.
    fn alert(&self, origin: &str, now: Timestamp) -> Value {
        let mut labels = Map::new();
        let mut label = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                labels.insert(name.to_owned(), Value::String(value));
            }
        };
        label("alertname", Some(self.what.name().to_owned()));
        label("log", Some(origin.to_owned()));
        label("system", self.system.as_ref().map(ToString::to_string));
        label("environment", self.environment.as_ref().map(ToString::to_string));
        label("component", self.about.component.as_ref().map(ToString::to_string));
        label("process", self.about.process.as_ref().map(ToString::to_string));
        label("host", self.about.host.as_ref().map(ToString::to_string));
        label("value", self.about.value.as_ref().map(ToString::to_string));
        label("statement", self.about.statement.map(|index| index.to_string()));
        let mut annotations = Map::new();
        annotations.insert("summary".to_owned(), Value::String(self.words.clone()));
        if let Some(index) = self.index {
            annotations.insert("alarm".to_owned(), Value::String(index.to_string()));
        }
        let ends = self.over.unwrap_or_else(|| now.plus_s(ALERT_LIFE_S));
        json!({
            "labels": labels, "annotations": annotations,
            "startsAt": self.since.to_string(), "endsAt": ends.to_string(),
        })
    }
}

/// The document for webhooks and commands.
pub fn document(origin: &str, host: &str, messages: &[Message]) -> Value {
    json!({
        "version": 1, "log": origin, "host": host,
        "alarms": messages.iter().map(Message::json).collect::<Vec<_>>(),
    })
}

/// The document for Alertmanager.
pub fn alerts(origin: &str, messages: &[Message], now: Timestamp) -> Value {
    messages.iter().map(|message| message.alert(origin, now)).collect()
}
