//! Servers that nobody here wrote, as the host's packages have them: they start, serve and end under the profile.
//!
//! Their images are made of the host's own files. A host without a server says so and goes on.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use model::Digest;
use rollout::step::Step;

use super::fixture::*;

/// Files of an image, without the first slash, and what of the host they are.
type Files = BTreeMap<PathBuf, PathBuf>;

/// Adds a program or library of the host as `inside`, and all libraries that it names.
fn add(files: &mut Files, inside: &Path, host: &Path) {
    files.insert(inside.strip_prefix("/").unwrap().to_owned(), host.to_owned());
    let listed = Command::new("ldd").arg(host).output().unwrap();
    for word in String::from_utf8_lossy(&listed.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
        files.insert(PathBuf::from(word.trim_start_matches('/')), PathBuf::from(word));
    }
}

fn image_of(world: &World, files: &Files) -> Digest {
    let mut builder = tar::Builder::new(Vec::new());
    for (inside, host) in files {
        let content = fs::read(host).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, inside, content.as_slice()).unwrap();
    }
    world.image(&[builder.into_inner().unwrap()], serde_json::json!({}))
}

fn talk(address: SocketAddr, say: &str, until: &str) -> String {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(say.as_bytes()).unwrap();
    let (mut said, mut part) = (String::new(), [0; 4_096]);
    while !said.contains(until) {
        let length = stream.read(&mut part).unwrap();
        assert!(length > 0, "the connection ended after {said:?}");
        said.push_str(&String::from_utf8_lossy(&part[..length]));
    }
    said
}

#[test]
fn root_redis_serves_saves_and_ends_when_asked() {
    let Some(world) = World::new() else { return };
    let program = fs::canonicalize("/usr/bin/redis-server").expect("`scripts/setup test` installs redis-server");
    let mut local = world.open();
    let mut files = Files::new();
    // One program under several names; it does what its name says.
    add(&mut files, Path::new("/redis-server"), &program);
    let command =
        ["/redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/data", "--appendonly", "yes"];
    let mut redis = component("redis", image_of(&world, &files), &command);
    redis.port = 6379;
    redis.health.path = None;
    redis.limits.memory_mib = 96;
    redis.limits.stop_timeout_ms = 20_000;
    redis.volumes.push(volume("/data", true));
    let first = spec(&redis, 1, 1);
    do_step(&mut local, &start(&first));
    wait_healthy(&mut local, &first.id);
    let at = address(&mut local, &first.id);
    talk(at, "SET money 100\r\nBGSAVE\r\n", "+Background saving started");
    do_step(&mut local, &Step::Stop(first.id.clone()));
    assert_eq!(wait_exit(&mut local, &first.id), (0, false), "{}", log(&local, &first.id));
    let second = spec(&redis, 2, 1);
    do_step(&mut local, &start(&second));
    wait_healthy(&mut local, &second.id);
    let at = address(&mut local, &second.id);
    assert!(talk(at, "GET money\r\n", "100\r\n").contains("$3\r\n100\r\n"));
}

#[test]
fn root_python_serves_with_threads_processes_and_a_database() {
    let Some(world) = World::new() else { return };
    let program = fs::canonicalize("/usr/bin/python3").expect("`scripts/setup test` installs python3");
    let mut local = world.open();
    let mut files = Files::new();
    add(&mut files, &program, &program);
    let listed = Command::new(&program)
        .args(["-c", "import sys; print(sys.version_info[0], sys.version_info[1], sep='.')"])
        .output()
        .unwrap();
    let library = PathBuf::from(format!("/usr/lib/python{}", String::from_utf8_lossy(&listed.stdout).trim()));
    let mut folders = vec![library];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if !matches!(
                    name.as_str(),
                    "test" | "__pycache__" | "idlelib" | "tkinter" | "lib2to3" | "ensurepip" | "dist-packages"
                ) && !name.starts_with("config-")
                {
                    folders.push(path);
                }
            } else if name.ends_with(".so") {
                add(&mut files, &path, &path);
            } else if name.ends_with(".py") {
                files.insert(path.strip_prefix("/").unwrap().to_owned(), path);
            }
        }
    }
    let text = "
import http.server, multiprocessing, os, signal, socketserver, sqlite3, subprocess, sys, threading, tempfile
signal.signal(signal.SIGTERM, lambda *a: os._exit(0))
base = sqlite3.connect('/data/base.db', check_same_thread=False)
base.execute('pragma journal_mode=wal')
base.execute('create table if not exists hits (n)')
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        base.execute('insert into hits values (1)'); base.commit()
        with multiprocessing.Pool(2) as pool:
            squares = pool.map(abs, [-1, -2, -3])
        child = subprocess.run([sys.executable, '-c', 'print(6*7)'], capture_output=True, text=True)
        with tempfile.TemporaryFile() as f:
            f.write(b'x')
        try:
            host = __import__('socket').getaddrinfo('localhost', 80)[0][4][0]
        except OSError as e:
            host = str(e)
        body = f'{squares} {child.stdout.strip()} {host} {threading.active_count() > 1}'.encode()
        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers(); self.wfile.write(body)
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer): pass
Server(('0.0.0.0', int(os.environ['PORT'])), Handler).serve_forever()
";
    let mut python = component("python", image_of(&world, &files), &[program.to_str().unwrap(), "-c", text]);
    python.limits.memory_mib = 256;
    python.limits.stop_timeout_ms = 20_000;
    python.health.timeout_ms = 10_000;
    python.volumes.push(volume("/data", true));
    let spec = spec(&python, 1, 1);
    do_step(&mut local, &start(&spec));
    wait_healthy(&mut local, &spec.id);
    let at = address(&mut local, &spec.id);
    let said = talk(at, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "True");
    assert!(said.ends_with("[1, 2, 3] 42 127.0.0.1 True"), "{said}");
    do_step(&mut local, &Step::Stop(spec.id.clone()));
    assert_eq!(wait_exit(&mut local, &spec.id), (0, false), "{}", log(&local, &spec.id));
}
