//! Both sides over a real socket pair, with a driver that only writes down what it is asked.

use std::{net::SocketAddr, thread};

use model::Digest;
use rollout::instance::{InstanceState, ObservedInstance};

use super::*;

/// Writes down what it is asked.
#[derive(Default)]
struct Scribe {
    asked: Vec<String>,
}

fn instance() -> InstanceId {
    "production.paydesk-000042.web.1".parse().unwrap()
}

impl Driver for Scribe {
    fn observe(&mut self) -> Result<Observed, DriverError> {
        self.asked.push("observe".to_owned());
        let seen = ObservedInstance {
            id: instance(),
            release: Digest::of(b"release"),
            image: Digest::of(b"image"),
            address: "10.7.1.2:80".parse().unwrap(),
            state: InstanceState::Drifted { what: "another root".to_owned() },
        };
        Ok(Observed { instances: vec![seen], restore_points: Vec::new() })
    }

    fn execute(&mut self, step: &Step) -> Result<(), DriverError> {
        self.asked.push(format!("{step:?}").split(['(', ' ']).next().unwrap().to_owned());
        match step {
            Step::Delete(_) => Err(DriverError::Refused("it runs".to_owned())),
            Step::Stop(_) => Err(crate::driver::failed("it can not be stopped", "no reason")),
            _ => Ok(()),
        }
    }
}

impl Executor for Scribe {
    fn prepare(&mut self) -> Result<(), DriverError> {
        Err(DriverError::Host { what: "no runc".to_owned(), hint: "install runc".to_owned() })
    }

    fn denied(&mut self) -> Result<Denied, DriverError> {
        Ok(Denied { packets: 7, flows: Vec::new() })
    }

    fn client_netns(&mut self, name: &str, targets: &[SocketAddr]) -> Result<PathBuf, DriverError> {
        Ok(PathBuf::from(format!("/{name}/{}", targets.len())))
    }

    fn log(&mut self, id: &InstanceId) -> Result<String, DriverError> {
        Ok(format!("{id} says hello"))
    }

    fn purge(&mut self, keep: Keep) -> Result<(), DriverError> {
        self.asked.push(format!("{keep:?}"));
        Ok(())
    }
}

/// Talks to a served scribe; returns what it was asked and how the service ended.
fn talk(talk: impl FnOnce(UnixStream)) -> (Vec<String>, io::Result<()>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = thread::spawn(move || {
        let mut scribe = Scribe::default();
        let mut check = |request: &Request| match request {
            Request::Execute(Step::Start(spec)) if !spec.from_edge => Err("no release asks for it".to_owned()),
            Request::Purge(Keep::Nothing) => Err("this is production".to_owned()),
            _ => Ok(()),
        };
        let ended = serve(theirs, &mut scribe, &mut check);
        (scribe.asked, ended)
    });
    talk(ours);
    server.join().unwrap()
}

fn spec(from_edge: bool) -> Step {
    let text = serde_json::json!({
        "id": { "environment": "production", "serial": "paydesk-000042", "component": "web", "number": 1 },
        "release": Digest::of(b"release"),
        "component": {
            "name": "web", "image": Digest::of(b"image"), "command": [], "port": 80,
            "health": { "path": null, "interval_ms": 1, "timeout_ms": 1, "deadline_ms": 1 },
            "zone": "front", "replicas": 1,
            "limits": { "memory_mib": 1, "cpu_percent": 1, "pids": 1, "tmp_mib": 1, "stop_timeout_ms": 1 },
            "volumes": [], "migrations": [], "environment": {}, "secrets": {},
        },
        "peers": { "COUNTERSIGN_PEER_PAYMENTS": ["10.7.2.2:81"] },
        "from_edge": from_edge,
    });
    Step::Start(serde_json::from_value(text).unwrap())
}

#[test]
fn a_client_is_the_driver_behind_the_socket() {
    let (asked, ended) = talk(|stream| {
        let mut client = ExecutorClient::new(stream).unwrap();
        assert_eq!(client.observe().unwrap(), Scribe::default().observe().unwrap());
        client.execute(&spec(true)).unwrap();
        assert_eq!(client.execute(&spec(false)).unwrap_err().to_string(), "no release asks for it");
        assert!(
            matches!(client.execute(&Step::Delete(instance())), Err(DriverError::Refused(why)) if why == "it runs")
        );
        assert_eq!(client.execute(&Step::Stop(instance())).unwrap_err().chain(), "it can not be stopped: no reason");
        assert_eq!(client.prepare().unwrap_err().to_string(), "no runc; install runc");
        assert_eq!(client.denied().unwrap().packets, 7);
        assert_eq!(client.client_netns("suite", &["10.7.1.2:80".parse().unwrap()]).unwrap(), PathBuf::from("/suite/1"));
        assert_eq!(client.log(&instance()).unwrap(), "production.paydesk-000042.web.1 says hello");
        assert_eq!(client.purge(Keep::Nothing).unwrap_err().to_string(), "this is production");
        client.purge(Keep::Volumes).unwrap();
    });
    assert_eq!(asked, ["observe", "Start", "Delete", "Stop", "Volumes"]);
    ended.unwrap();
}

#[test]
fn what_is_not_understood_is_answered_and_ends_the_service() {
    let long = vec![b'x'; usize::try_from(REQUEST_LIMIT).unwrap() + 1];
    let rows: [(&[u8], &str); 5] = [
        (b"{\"execute\":{\"start\":{}}}\n", "the executor does not understand this: missing field"),
        (b"{\"become-root\":1}\n", "the executor does not understand this: unknown variant `become-root`"),
        (
            b"{\"client-netns\":{\"name\":\"x\",\"targets\":[],\"more\":1}}\n",
            "the executor does not understand this: unknown field `more`",
        ),
        (b"\xff\n", "the executor does not understand this: "),
        (&long, "the executor does not understand this: a line is over 1048576 bytes"),
    ];
    for (line, why) in rows {
        let (asked, ended) = talk(|mut stream| {
            // The executor closes the socket on the rest of a line that is too long.
            if let Err(error) = stream.write_all(line) {
                assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            }
            let answer = receive::<Answer>(&mut BufReader::new(stream), ANSWER_LIMIT).unwrap().unwrap();
            assert!(matches!(&answer, Answer::Failed(Failure::Refused(found)) if found.starts_with(why)), "{answer:?}");
        });
        assert_eq!(asked, Vec::<String>::new());
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

#[test]
fn a_torn_line_does_nothing() {
    let (asked, ended) = talk(|mut stream| stream.write_all(b"\"observe\"").unwrap());
    assert_eq!((asked, ended.unwrap_err().kind()), (Vec::new(), io::ErrorKind::UnexpectedEof));
}

#[test]
fn a_client_trusts_no_answer_after_a_torn_one() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut client = ExecutorClient::new(ours).unwrap();
    theirs.write_all(b"\"nonsense\"\n\"done\"\n").unwrap();
    assert!(matches!(client.prepare(), Err(DriverError::Lost { .. })));
    assert_eq!(
        client.prepare().unwrap_err().to_string(),
        "the executor does not answer as it should: an earlier exchange broke off; connect again"
    );
    drop(theirs);
}
