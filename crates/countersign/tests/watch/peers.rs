//! Whom alarms are told to in these tests: a webhook that takes down what comes and when, a component that can be broken, an
//! Alertmanager and a Prometheus.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::stage::{LIMIT, Stage, free_ports, request};

/// One alarm that the webhook was told, and when.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) at: Instant,
    pub(crate) what: String,
    pub(crate) firing: bool,
    pub(crate) component: Option<String>,
    pub(crate) process: Option<String>,
}

/// A webhook.
pub(crate) struct Webhook {
    pub(crate) url: String,
    told: Receiver<Told>,
    /// Everything that came, also what a test waited for already.
    all: Arc<Mutex<Vec<Told>>>,
}

impl Webhook {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (sender, told) = channel();
        let all: Arc<Mutex<Vec<Told>>> = Arc::default();
        let kept = all.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let Some(body) = read_body(&mut stream) else { continue };
                let at = Instant::now();
                drop(stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"));
                let document: Value = serde_json::from_slice(&body).unwrap();
                for alarm in document["alarms"].as_array().unwrap() {
                    let name = |key: &str| alarm["about"][key].as_str().map(str::to_owned);
                    let told = Told {
                        at,
                        what: alarm["alarm"].as_str().unwrap().to_owned(),
                        firing: alarm["firing"].as_bool().unwrap(),
                        component: name("component"),
                        process: name("process"),
                    };
                    kept.lock().unwrap().push(told.clone());
                    if sender.send(told).is_err() {
                        return;
                    }
                }
            }
        });
        Self { url, told, all }
    }

    /// The next message of this kind about this component or process, beginning or end.
    pub(crate) fn wait(&self, stage: &Stage, what: &str, about: &str, firing: bool) -> Told {
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(told) = self.told.recv_timeout(left) else {
                panic!("nobody is told of {what} of {about} (firing: {firing})\n{}", stage.story());
            };
            let names = [told.component.as_deref(), told.process.as_deref()];
            if told.what == what && told.firing == firing && names.contains(&Some(about)) {
                return told;
            }
        }
    }

    /// How often it was told of this kind about this component or process by now, beginning or end.
    pub(crate) fn count(&self, what: &str, about: &str, firing: bool) -> usize {
        let all = self.all.lock().unwrap();
        let is_it = |told: &&Told| {
            let names = [told.component.as_deref(), told.process.as_deref()];
            told.what == what && told.firing == firing && names.contains(&Some(about))
        };
        all.iter().filter(is_it).count()
    }

    /// What else has come by now.
    pub(crate) fn rest(&self) -> Vec<Told> {
        self.told.try_iter().collect()
    }
}

fn read_body(stream: &mut std::net::TcpStream) -> Option<Vec<u8>> {
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    let mut bytes = Vec::new();
    let mut part = [0; 4_096];
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length: usize = head.lines().find_map(|l| l.strip_prefix("content-length: "))?.trim().parse().ok()?;
            if bytes.len() >= end + 4 + length {
                return Some(bytes[end + 4..end + 4 + length].to_vec());
            }
        }
        let length = stream.read(&mut part).ok()?;
        if length == 0 {
            return None;
        }
        bytes.extend_from_slice(&part[..length]);
    }
}

/// A component that answers, until it is broken.
pub(crate) struct Component {
    pub(crate) address: SocketAddr,
    well: Arc<AtomicBool>,
}

impl Component {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let well = Arc::new(AtomicBool::new(true));
        let answers = well.clone();
        std::thread::spawn(move || serve(&listener, &answers));
        Self { address, well }
    }

    pub(crate) fn set_well(&self, well: bool) {
        self.well.store(well, Ordering::Relaxed);
    }
}

/// Answers health checks on every address of this listener.
pub(crate) fn serve(listener: &TcpListener, well: &AtomicBool) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { return };
        let mut asked = [0; 1_024];
        drop(stream.set_read_timeout(Some(Duration::from_millis(200))));
        drop(stream.read(&mut asked));
        let status = if well.load(Ordering::Relaxed) { "200 OK" } else { "500 Internal Server Error" };
        drop(
            stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes()),
        );
    }
}

/// A program of the distribution, with a folder and an address of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Debian's Alertmanager.
    pub(crate) fn alertmanager() -> Self {
        let config = "route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n";
        Self::start("prometheus-alertmanager", config, "/-/ready", &|folder, address| {
            vec![
                format!("--config.file={folder}/config.yml"),
                format!("--storage.path={folder}/data"),
                format!("--web.listen-address={address}"),
                "--cluster.listen-address=".to_owned(),
            ]
        })
    }

    /// Debian's Prometheus, which reads this address every second.
    pub(crate) fn prometheus(metrics: SocketAddr) -> Self {
        let config = format!(
            "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n  - job_name: countersign\n    static_configs:\n      - targets: ['{metrics}']\n"
        );
        Self::start("prometheus", &config, "/-/ready", &|folder, address| {
            vec![
                format!("--config.file={folder}/config.yml"),
                format!("--storage.tsdb.path={folder}/data"),
                format!("--web.listen-address={address}"),
            ]
        })
    }

    fn start(program: &str, config: &str, ready: &str, args: &dyn Fn(&str, SocketAddr) -> Vec<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [address] = free_ports();
        fs::write(folder.path().join("config.yml"), config).unwrap();
        let args = args(&folder.path().to_string_lossy(), address);
        let output = fs::File::create(folder.path().join("out")).unwrap();
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("`{program}` is not there, `scripts/setup test` installs it: {error}"));
        let server = Self { address, child, _folder: folder };
        let deadline = Instant::now() + LIMIT;
        while request(address, "GET", ready, "").is_none_or(|(status, _)| status != 200) {
            let said = fs::read_to_string(server._folder.path().join("out")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{program} is not ready: {said}");
            wait_a_little();
        }
        server
    }

    /// Asks for JSON.
    pub(crate) fn json(&self, path: &str) -> Value {
        let (status, body) = request(self.address, "GET", path, "").unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        // Bodies of more than a few KiB come in chunks; what is asked for here is less, or is joined again.
        serde_json::from_str(&body).or_else(|_| serde_json::from_str(&unchunk(&body))).unwrap()
    }

    /// The names of the alerts that Alertmanager has as active.
    pub(crate) fn active(&self) -> Vec<(String, String)> {
        let alerts = self.json("/api/v2/alerts");
        let label = |alert: &Value, name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
        alerts.as_array().unwrap().iter().map(|a| (label(a, "alertname"), label(a, "component"))).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn unchunk(body: &str) -> String {
    let (mut rest, mut whole) = (body, String::new());
    while let Some((size, more)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        whole.push_str(more.get(..size).unwrap_or(more));
        rest = more.get(size + 2..).unwrap_or_default();
    }
    whole
}

fn wait_a_little() {
    std::thread::sleep(Duration::from_millis(20));
}
