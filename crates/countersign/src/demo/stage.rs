//! The stage: one folder with everybody's keys, the registry, the remote, the witness and Countersign itself.
//!
//! It sets up as a user would, with the same verbs and files, and takes everything away again. It writes only below its
//! folder; a crash leaves that, and `countersign down --dir FOLDER/countersign` ends what runs from it.

use std::{
    fs::{self, Permissions},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use ledger::{durable, statement::Members};

use crate::{
    charter_file, executor,
    fault::{Because as _, Fault, Kind},
    layout::Layout,
    settings::Settings,
};

use super::{
    Options,
    history::{History, Repository},
    people::{PEOPLE, founding_file},
    places::{PUBLIC_PORT, Places, REGISTRY_PORT},
    program::Program,
    registry::{Registry, collect},
    teller::Teller,
    traces,
};

/// Verbs answer within seconds; `up` has half a minute of its own for the processes.
pub const VERB_LIMIT: Duration = Duration::from_secs(60);
/// A process that opens its port does so at once.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
/// What the kernel still takes down after the last process.
const GONE_LIMIT: Duration = Duration::from_secs(10);
/// A process that was asked to end, before it is killed.
const END_LIMIT: Duration = Duration::from_secs(15);

/// Everything that one demo has.
pub struct Stage {
    /// The folder that everything is in.
    pub dir: PathBuf,
    /// Where everything listens.
    pub places: Places,
    /// The verbs.
    pub program: Program,
    made_dir: bool,
    registry: Option<Registry>,
    witness: Option<Child>,
    up: Option<Child>,
    repository: Option<Repository>,
    scopes: Vec<String>,
}

impl Stage {
    /// Finds its places and makes its folder.
    pub fn new(options: &Options, interrupted: Arc<AtomicBool>) -> Result<Self, Fault> {
        let places = Places::find()?;
        let dir = match &options.dir {
            Some(dir) => {
                let taken = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
                if taken {
                    return Err(Fault::new(Kind::Refused, format!("`{}` is not empty", dir.display()))
                        .hint("the demo plays in a folder of its own; name one that is not there yet"));
                }
                fs::create_dir_all(dir).because(Kind::Unavailable, format!("`{}` can not be made", dir.display()))?;
                dir.canonicalize().because(Kind::Unavailable, format!("`{}` can not be found", dir.display()))?
            }
            None => {
                let made = tempfile::Builder::new().prefix("countersign-demo-").tempdir();
                made.because(Kind::Unavailable, "no folder can be made")?.keep()
            }
        };
        // Every role finds its own part below it.
        fs::set_permissions(&dir, Permissions::from_mode(0o755))
            .because(Kind::Unavailable, "the folder's mode can not be set")?;
        let program = Program::new(&dir.join("countersign"), interrupted)?;
        Ok(Self {
            places,
            program,
            made_dir: options.dir.is_none(),
            dir,
            registry: None,
            witness: None,
            up: None,
            repository: None,
            scopes: Vec::new(),
        })
    }

    /// Countersign's own folder.
    pub fn layout(&self) -> Layout {
        Layout::new(&self.dir.join("countersign"))
    }

    /// A person's private key.
    pub fn key(&self, person: &str) -> String {
        self.dir.join("people").join(person).to_string_lossy().into_owned()
    }

    /// The working copy.
    pub fn repository(&self) -> Result<&Repository, Fault> {
        self.repository.as_ref().ok_or_else(|| Fault::new(Kind::Internal, "there is no repository yet"))
    }

    /// The charter in force.
    pub fn members(&self) -> Result<Members, Fault> {
        Ok(charter_file::read(&self.layout(), None)?.members)
    }

    /// Keys, registry, repository, charter, witness, processes.
    pub fn set_up(&mut self, history: &History, teller: &mut Teller<'_>) -> Result<(), Fault> {
        let people = self.dir.join("people");
        self.folder(&people, 0o700)?;
        for (name, _, _) in PEOPLE {
            let key = people.join(name);
            self.tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", &key.to_string_lossy()])?;
        }
        teller.does(format!(
            "keys for {}; this demo holds all of them, which nobody should",
            PEOPLE.map(|p| p.0).join(", ")
        ))?;

        let crates = self.dir.join("registry");
        collect(&history.example.join("Cargo.lock"), &cargo_home()?, &crates)
            .because(Kind::Unavailable, "the packages of the example are not here")?;
        let registry = Registry::serve(&crates, self.places.registry)
            .because(Kind::Unavailable, "the registry can not be served")?;
        teller.does(format!(
            "a registry of {} packages on http://{}, so that nothing needs the network",
            registry.packages(),
            registry.address()
        ))?;
        self.registry = Some(registry);

        let repository = Repository::new(&self.dir.join("paydesk"), &self.dir.join("remote.git"), &people)?;
        let loopback = |port: u16| format!("127.0.0.1:{port}");
        repository.begin(
            &history.example,
            &[
                (loopback(REGISTRY_PORT), self.places.registry.to_string()),
                (loopback(PUBLIC_PORT), self.places.public.to_string()),
            ],
        )?;
        self.repository = Some(repository);

        self.found()?;
        teller.does("a charter, signed by its founders cora and dan")?;
        let settings = self.settings()?;
        self.scopes.push(executor::scope_of(&self.layout()));
        self.witness()?;
        teller.does(format!("a witness with its own key and state on http://{}", self.places.witness))?;
        teller.quote(&self.up()?)?;
        teller.does(format!(
            "log, gate, builder, tester, agent, edge and front run as users of their own; fabric {}.{}",
            settings.fabric[0], settings.fabric[1]
        ))
    }

    fn found(&self) -> Result<(), Fault> {
        let state = self.dir.join("witness");
        let made = self.program.run(&["witness", "--new", "--state", &state.to_string_lossy()], VERB_LIMIT)?.well()?;
        let founding = self.dir.join("founding.toml");
        let text = founding_file(made.out.trim(), self.places.witness, &self.dir.join("remote.git"));
        self.write(&founding, text.as_bytes(), 0o644)?;
        for (name, _, _) in PEOPLE {
            let from = self.dir.join("people").join(format!("{name}.pub"));
            let to = self.dir.join(format!("{name}.pub"));
            fs::copy(&from, &to).because(Kind::Unavailable, format!("`{}` can not be copied", from.display()))?;
        }
        self.program.run(&["init", "--demo", "--founding", &founding.to_string_lossy()], VERB_LIMIT)?.well()?;
        for (name, _, _) in PEOPLE.iter().filter(|p| p.2) {
            self.program.run(&["init", "--sign", "--key", &self.key(name)], VERB_LIMIT)?.well()?;
        }
        let secrets = self.layout().secrets();
        self.folder(&secrets, 0o700)?;
        let mut token = [0; 24];
        getrandom::fill(&mut token).map_err(|e| Fault::new(Kind::Unavailable, format!("no random bytes: {e}")))?;
        self.write(&secrets.join("paydesk-token"), hex::encode(token).as_bytes(), 0o600)
    }

    /// Where this host listens, in the settings that `init` wrote.
    fn settings(&self) -> Result<Settings, Fault> {
        let layout = self.layout();
        let mut settings = Settings::read(&layout)?;
        settings.front = self.places.front;
        settings.fabric = self.places.fabric;
        let bytes = serde_json::to_vec_pretty(&settings).because(Kind::Internal, "the settings can not be written")?;
        self.write(&layout.settings(), &bytes, 0o644)?;
        Ok(settings)
    }

    fn witness(&mut self) -> Result<(), Fault> {
        let vkey = self.members()?.charter().log.vkey.clone();
        let state = self.dir.join("witness").to_string_lossy().into_owned();
        let listen = self.places.witness.to_string();
        let mut command = self.program.command(&["witness", "--state", &state, "--log", &vkey, "--listen", &listen]);
        self.witness = Some(self.spawn(&mut command, "witness.log")?);
        self.opened(self.places.witness, "the witness")
    }

    /// Starts `up` without waiting for it to be ready: a log that no witness cosigns never is.
    pub fn up_without_waiting(&mut self) -> Result<(), Fault> {
        let mut command = self.program.command(&["up"]);
        self.up = Some(self.spawn(&mut command, "up.log")?);
        self.opened(self.places.front, "front")
    }

    /// Starts `up` and waits until it is ready.
    pub fn up(&self) -> Result<String, Fault> {
        Ok(self.program.run(&["up", "--detach"], VERB_LIMIT)?.well()?.out)
    }

    /// Ends the processes and leaves the components running.
    pub fn down_without_components(&mut self) -> Result<(), Fault> {
        self.program.run(&["down", "--leave-components"], VERB_LIMIT)?.well()?;
        end(&mut self.up, "up")
    }

    fn spawn(&self, command: &mut Command, output: &str) -> Result<Child, Fault> {
        let path = self.dir.join(output);
        #[expect(clippy::disallowed_methods, reason = "what a process prints is for looking at")]
        let file =
            fs::File::create(&path).because(Kind::Unavailable, format!("`{}` can not be written", path.display()))?;
        let both = file.try_clone().because(Kind::Unavailable, "an output can not be shared")?;
        command.stdout(file).stderr(both).spawn().because(Kind::Unavailable, "a process can not be started")
    }

    /// Waits until something listens there.
    fn opened(&self, address: SocketAddr, what: &str) -> Result<(), Fault> {
        let deadline = Instant::now() + OPEN_LIMIT;
        while TcpStream::connect_timeout(&address, OPEN_LIMIT).is_err() {
            if Instant::now() > deadline {
                return Err(Fault::new(Kind::Unavailable, format!("{what} does not listen on {address}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn tool(&self, program: &str, words: &[&str]) -> Result<(), Fault> {
        let done = Command::new(program).args(words).stdin(Stdio::null()).output();
        let done = done.because(Kind::Unavailable, format!("`{program}` can not be run; `make setup` installs it"))?;
        if done.status.success() {
            return Ok(());
        }
        Err(Fault::new(
            Kind::Unavailable,
            format!("`{program}` failed: {}", String::from_utf8_lossy(&done.stderr).trim()),
        ))
    }

    fn folder(&self, path: &Path, mode: u32) -> Result<(), Fault> {
        fs::create_dir_all(path)
            .and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
            .because(Kind::Unavailable, format!("`{}` can not be made", path.display()))
    }

    /// Writes a file of the stage.
    pub fn write(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), Fault> {
        durable::write(path, bytes, mode).because(Kind::Unavailable, format!("`{}` can not be written", path.display()))
    }

    /// The outputs of everything that was started.
    pub fn outputs(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = fs::read_dir(self.layout().root().join("output"))
            .into_iter()
            .flatten()
            .filter_map(|e| e.ok().map(|e| e.path()))
            .collect();
        found.extend(["witness.log", "up.log"].map(|n| self.dir.join(n)));
        found.sort();
        found
    }

    /// Ends everything, removes the folder, and makes sure that nothing is left.
    pub fn clean(&mut self) -> Result<(), Fault> {
        let mut troubles = Vec::new();
        if self.layout().charter().exists() {
            // Also after Ctrl-C: this is what was asked for.
            match Program::new(self.layout().root(), Arc::default())
                .and_then(|p| p.run(&["down"], VERB_LIMIT))
                .and_then(super::program::Ran::well)
            {
                Ok(_) => {}
                Err(fault) => troubles.push(fault.message()),
            }
        }
        for (child, name) in [(&mut self.up, "up"), (&mut self.witness, "witness")] {
            if let Err(fault) = end(child, name) {
                troubles.push(fault.message());
            }
        }
        self.registry = None;
        if let Err(fault) = traces::gone(&self.dir, &self.scopes, GONE_LIMIT) {
            troubles.push(fault.message());
        } else if let Err(error) = self.remove() {
            troubles.push(format!("`{}` can not be removed: {error}", self.dir.display()));
        }
        if troubles.is_empty() { Ok(()) } else { Err(Fault::new(Kind::Unavailable, troubles.join("; "))) }
    }

    /// Only once nothing is mounted below it.
    fn remove(&self) -> std::io::Result<()> {
        if self.made_dir {
            return fs::remove_dir_all(&self.dir);
        }
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
        Ok(())
    }

    /// What to type next.
    pub fn how_to_look(&self, stays: bool) -> Vec<String> {
        let dir = self.layout().root().display().to_string();
        if !stays {
            return vec![
                "everything was removed again; `make demo DEMO_FLAGS=--stay` leaves it running".to_owned(),
                "your own system in ten minutes: README.md".to_owned(),
            ];
        }
        vec![
            format!("the pay desk       http://{}", self.places.public),
            format!("front              http://{} (/api/status, /log/checkpoint)", self.places.front),
            format!("the folder         {}", self.dir.display()),
            format!("countersign status --dir {dir}"),
            format!("countersign log --dir {dir}"),
            format!("countersign trace {} --dir {dir}", self.places.public),
            format!("countersign audit --dir {dir}"),
            format!(
                "commit in          {} (sign with a key of {}), push to {}",
                self.dir.join("paydesk").display(),
                self.dir.join("people").display(),
                self.dir.join("remote.git").display()
            ),
            "the registry ended with the demo: only builds of what was fetched before will work".to_owned(),
            format!(
                "to end it          countersign down --dir {dir}; kill {}; rm -r {}",
                self.witness.as_ref().map_or(0, Child::id),
                self.dir.display()
            ),
        ]
    }
}

fn end(child: &mut Option<Child>, name: &str) -> Result<(), Fault> {
    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };
    let Some(mut running) = child.take() else { return Ok(()) };
    let broken = || format!("the {name} can not be ended");
    let deadline = Instant::now() + END_LIMIT;
    let pid = i32::try_from(running.id()).because(Kind::Internal, broken())?;
    if running.try_wait().because(Kind::Unavailable, broken())?.is_none() {
        kill(Pid::from_raw(pid), Signal::SIGTERM).because(Kind::Unavailable, broken())?;
    }
    while running.try_wait().because(Kind::Unavailable, broken())?.is_none() {
        if Instant::now() > deadline {
            running.kill().because(Kind::Unavailable, broken())?;
            running.wait().because(Kind::Unavailable, broken())?;
            return Err(Fault::new(Kind::Unavailable, format!("the {name} had to be killed")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Where cargo keeps what it downloaded (the Cargo Book, "Cargo Home").
fn cargo_home() -> Result<PathBuf, Fault> {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
        .ok_or_else(|| Fault::new(Kind::Usage, "neither CARGO_HOME nor HOME is set").hint("set HOME"))
}
