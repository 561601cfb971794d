//! Metrics of every process of this host in one place, as OpenMetrics 1.0 text
//! (`prometheus/docs:docs/specs/om/open_metrics_spec.md`), on an address of loopback.
//!
//! What a process counts it writes into its own status; the edge's own text is passed on. Nothing is written here.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::{Duration, SystemTime},
};

use axum::{Router, extract::State, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};
use gate::alarms::Condition;
use hyper::Method;
use model::{Clock as _, Timestamp};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::{
    alarms::outbox::Current,
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    http::Target,
    identity::RoleUser,
    layout::Layout,
    serve::{PublicLimits, blocking, serve_public},
    status::{Status, heartbeat::SILENT_LIMIT},
    supervise::STARTED,
};

/// The media type of the text.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The end of every text of OpenMetrics.
const END: &str = "# EOF\n";
/// The edge answers from memory.
const EDGE_TIMEOUT: Duration = Duration::from_secs(1);
/// A few who read the metrics, each every few seconds.
const LIMITS: PublicLimits = PublicLimits { connections: 16, head_timeout: Duration::from_secs(5) };

type Labels = Vec<(String, String)>;
type GaugeFamily = Family<Labels, Gauge<f64, AtomicU64>>;
type CounterFamily = Family<Labels, Counter>;

/// What is shown to who reads the metrics.
pub(super) struct Scrape {
    layout: Layout,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Firing alarms by kind and whether they are silenced and acknowledged.
    alarms: BTreeMap<(&'static str, bool, bool), u64>,
    /// Components by system, environment and name, and whether each fails its probes.
    components: BTreeMap<(String, String, String), bool>,
    sent: BTreeMap<String, u64>,
}

impl Scrape {
    pub(super) fn new(layout: Layout) -> Self {
        Self { layout, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what `watch` knows itself.
    pub(super) fn set(
        &self,
        current: &BTreeMap<Condition, Current>,
        components: &BTreeMap<(String, String, String), bool>,
        sent: BTreeMap<String, u64>,
    ) {
        let mut alarms = BTreeMap::new();
        for (condition, current) in current {
            *alarms.entry((condition.what.name(), current.silenced, current.acknowledged)).or_default() += 1;
        }
        *self.known() = Known { alarms, components: components.clone(), sent };
    }

    /// The whole text.
    fn text(&self) -> Result<String, Fault> {
        let mut registry = Registry::with_prefix("countersign");
        self.processes(&mut registry);
        self.own(&mut registry);
        let mut text = self.edge();
        encode(&mut text, &registry).because(Kind::Internal, "the metrics can not be written")?;
        Ok(text)
    }

    /// The edge's own text, without its end.
    fn edge(&self) -> String {
        let edge = Target::Unix(self.layout.socket(RoleUser::Edge));
        let answer = edge.ask_blocking(Method::GET, "/metrics", Vec::new(), EDGE_TIMEOUT).ok();
        let text = answer.filter(|a| a.status.is_success()).and_then(|a| String::from_utf8(a.body.to_vec()).ok());
        text.and_then(|t| t.strip_suffix(END).map(str::to_owned)).unwrap_or_default()
    }

    /// What every process says of itself.
    fn processes(&self, registry: &mut Registry) {
        let (up, start) = (GaugeFamily::default(), GaugeFamily::default());
        let mut measured: BTreeMap<String, GaugeFamily> = BTreeMap::new();
        let mut counted: BTreeMap<String, CounterFamily> = BTreeMap::new();
        for role in STARTED {
            let labels = vec![("process".to_owned(), role.name().to_owned())];
            up.get_or_create(&labels).set(f64::from(u8::from(self.lives(role))));
            let Ok(bytes) = std::fs::read(self.layout.status(role)) else { continue };
            let Ok(word) = serde_json::from_slice::<Status>(&bytes) else { continue };
            start.get_or_create(&labels).set(seconds(word.since));
            for (name, number) in word.measured {
                #[expect(clippy::cast_precision_loss, reason = "2^53 of anything is not reached")]
                measured.entry(name).or_default().get_or_create(&labels).set(number as f64);
            }
            for (name, number) in word.counted {
                counted.entry(name).or_default().get_or_create(&labels).inc_by(number);
            }
        }
        registry.register("process_up", "Whether the process gives signs of life", up);
        registry.register("process_start_time_seconds", "When the process started, since the epoch", start);
        for (name, family) in measured {
            registry.register(&name, format!("{}, as the process has it", words(&name)), family);
        }
        for (name, family) in counted {
            registry.register(&name, format!("{} since the process started", words(&name)), family);
        }
    }

    fn lives(&self, role: RoleUser) -> bool {
        let written = std::fs::metadata(self.layout.heartbeat(role)).and_then(|m| m.modified());
        // A clock that was moved shows as silence for one beat.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(SystemClock.now().unix());
        // Whole seconds against a file's fractions: one that was written in this second seems to come from the next.
        written
            .is_ok_and(|at| now.duration_since(at).map_or(at <= now + Duration::from_secs(1), |age| age < SILENT_LIMIT))
    }

    /// What `watch` knows itself.
    fn own(&self, registry: &mut Registry) {
        let known = self.known();
        let text = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let alarms = GaugeFamily::default();
        for ((kind, silenced, acknowledged), count) in &known.alarms {
            let labels = vec![
                ("alarm".to_owned(), (*kind).to_owned()),
                ("silenced".to_owned(), text(*silenced)),
                ("acknowledged".to_owned(), text(*acknowledged)),
            ];
            #[expect(clippy::cast_precision_loss, reason = "2^53 alarms are not reached")]
            alarms.get_or_create(&labels).set(*count as f64);
        }
        registry.register("alarms", "Alarms that are firing", alarms);
        let components = GaugeFamily::default();
        for ((system, environment, component), failing) in &known.components {
            let labels = vec![
                ("system".to_owned(), system.clone()),
                ("environment".to_owned(), environment.clone()),
                ("component".to_owned(), component.clone()),
            ];
            components.get_or_create(&labels).set(f64::from(u8::from(!failing)));
        }
        registry.register("component_up", "Whether the component answers its probes", components);
        let sent = CounterFamily::default();
        for (receiver, count) in &known.sent {
            sent.get_or_create(&vec![("receiver".to_owned(), receiver.clone())]).inc_by(*count);
        }
        registry.register("alarms_sent", "Alarms that receivers have acknowledged", sent);
        let now = Gauge::<f64, AtomicU64>::default();
        now.set(seconds(SystemClock.now()));
        registry.register("watch_time_seconds", "The time of the process that raises alarms, since the epoch", now);
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 stay below 2^53")]
fn seconds(time: Timestamp) -> f64 {
    time.unix() as f64
}

/// `alarms_untold` as words begin a sentence: `Alarms untold`.
fn words(name: &str) -> String {
    let mut words = name.replace('_', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

/// Takes the address that the settings name, which must be one of loopback: who reads it is not asked who they are.
pub(super) fn listen(address: SocketAddr) -> Result<TcpListener, Fault> {
    if !address.ip().is_loopback() {
        return Err(Fault::new(
            Kind::Usage,
            format!("metrics can not be served at {address}: anybody could read them"),
        )
        .hint("name an address of loopback in settings.json, and put a proxy before it"));
    }
    TcpListener::bind(address).because(Kind::Unavailable, format!("metrics can not be served at {address}"))
}

/// Serves `GET /metrics`, from a thread of its own.
pub(super) fn serve(listener: TcpListener, scrape: Arc<Scrape>) -> Result<(), Fault> {
    let router = Router::new().route("/metrics", get(show)).with_state(scrape);
    std::thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let served = runtime
                .because(Kind::Unavailable, "no runtime for metrics")
                .and_then(|runtime| runtime.block_on(serve_public(listener, router, LIMITS)));
            if let Err(fault) = served {
                tracing::error!("metrics can not be read any more: {}", fault.message());
            }
        })
        .because(Kind::Unavailable, "no thread for metrics")?;
    Ok(())
}

async fn show(State(scrape): State<Arc<Scrape>>) -> Result<impl IntoResponse, Fault> {
    let text = blocking(move || scrape.text()).await?;
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], text))
}

#[cfg(test)]
mod tests;
