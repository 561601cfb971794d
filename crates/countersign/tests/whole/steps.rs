//! Somebody in the agent's place: its user, asking its executor for steps of their own.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
};

use model::{Digest, release::Release};
use nix::sys::signal::Signal;
use rollout::{
    instance::{GivenValue, InstanceId, InstanceSpec},
    step::Step,
};
use runtime::protocol::{Answer, Request};

use crate::{installation::Installation, refusals::ROLES_GROUP};

const AGENT: u32 = 2_200_005;

impl Installation {
    /// The first instance of a component, as its release document asks for it. Peers and values are left out.
    pub(crate) fn instance(&self, release: Digest, component: &str) -> InstanceSpec {
        let document = fs::read(self.dir().join("images/blobs/sha256").join(release.hex())).unwrap();
        let release_document = Release::from_bytes(&document).unwrap();
        let component = release_document.component(&component.parse().unwrap()).unwrap().clone();
        InstanceSpec {
            id: InstanceId {
                environment: "production".parse().unwrap(),
                serial: release_document.serial.clone(),
                component: component.name.clone(),
                number: 1,
            },
            release,
            component,
            peers: std::collections::BTreeMap::new(),
            from_edge: false,
            values: Vec::<GivenValue>::new(),
        }
    }

    /// What the agent's executor answers its user. The agent itself is killed first: it has the executor's only ear, and
    /// whoever is next in line gets it before the agent is there again.
    pub(crate) fn as_agent(&self, starts: &[InstanceSpec]) -> Vec<Answer> {
        // Connected before the agent is killed, and so before it is started again.
        let script = "import socket, sys\n\
                      s = socket.socket(socket.AF_UNIX)\n\
                      s.settimeout(60)\n\
                      s.connect(sys.argv[1])\n\
                      print('connected', flush=True)\n\
                      f = s.makefile('rw')\n\
                      for line in sys.stdin:\n    f.write(line)\n    f.flush()\n    print(f.readline(), end='', flush=True)\n";
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", script])
            .arg(self.dir().join("run/agent/components"))
            .uid(AGENT)
            .gid(ROLES_GROUP)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(said.next().unwrap().unwrap(), "connected");
        self.signal("process agent", Signal::SIGKILL);
        let mut ask = child.stdin.take().unwrap();
        let answers = starts.iter().map(|spec| {
            let request = Request::Execute(Step::Start(Box::new(spec.clone())));
            writeln!(ask, "{}", serde_json::to_string(&request).unwrap()).unwrap();
            serde_json::from_str(&said.next().unwrap().unwrap()).unwrap()
        });
        let answers = answers.collect();
        drop(ask);
        assert!(child.wait().unwrap().success());
        answers
    }
}

/// The words of a refusal.
pub(crate) fn refused(answer: &Answer) -> String {
    match answer {
        Answer::Failed(runtime::protocol::Failure::Refused(words)) => words.clone(),
        other => panic!("not refused: {other:?}"),
    }
}
