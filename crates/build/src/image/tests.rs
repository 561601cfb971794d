#![expect(clippy::disallowed_methods, reason = "a torn fixture is harmless")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    process::Command,
};

use super::*;
use crate::image::wire::{Descriptor, Index, Platform};

struct Place {
    dir: tempfile::TempDir,
    store: ImageStore,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = ImageStore::open(&dir.path().join("store")).unwrap();
        fs::create_dir(dir.path().join("ws")).unwrap();
        Self { dir, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, path: &str, content: &[u8], mode: u32) {
        let path = self.path("ws").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn build(&self, files: &[(&str, &str)]) -> Result<BuiltImage, ImageError> {
        build_image(&self.path("ws"), &plan(files), &origin(), &self.store)
    }

    /// What `tar` says of the layer: one line an entry.
    fn listing(&self, image: &BuiltImage) -> Vec<String> {
        let mut archive = tar::Archive::new(fs::File::open(self.store.blob(image.layer)).unwrap());
        let line = |entry: std::io::Result<tar::Entry<'_, fs::File>>| {
            let entry = entry.unwrap();
            let header = entry.header();
            let link = entry.link_name().unwrap().map(|l| format!(" -> {}", l.display())).unwrap_or_default();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 1_700_000_000));
            format!("{:o} {}{link}", header.mode().unwrap(), entry.path().unwrap().display())
        };
        archive.entries().unwrap().map(line).collect()
    }
}

fn plan(files: &[(&str, &str)]) -> ImagePlan {
    ImagePlan {
        component: "web".into(),
        files: files.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        command: vec!["/bin/web".into()],
        environment: [("CURRENCY".to_owned(), "EUR".to_owned())].into(),
        mount_points: vec!["/var/lib/data".into()],
        port: Some(8080),
    }
}

fn origin() -> ImageOrigin {
    ImageOrigin {
        serial: "paydesk-000042".parse().unwrap(),
        commit: "1111111111111111111111111111111111111111".parse().unwrap(),
        committed_at: Timestamp::from_unix(1_700_000_000),
        source: "https://git.example/paydesk".into(),
        vendor: "paydesk".into(),
    }
}

#[test]
fn an_image_depends_on_nothing_but_its_content() {
    let one = Place::new();
    one.write("out/web", b"#!/bin/sh\n", 0o755);
    one.write("out/pages/index.html", b"<p>", 0o644);
    symlink("index.html", one.path("ws/out/pages/start.html")).unwrap();
    let built = one.build(&[("/bin/web", "out/web"), ("/srv/pages", "./out/pages")]).unwrap();
    assert_eq!(
        one.listing(&built),
        [
            "755 bin/",
            "755 bin/web",
            "755 dev/",
            "755 etc/",
            "644 etc/hostname",
            "644 etc/hosts",
            "644 etc/resolv.conf",
            "755 proc/",
            "755 run/",
            "755 srv/",
            "755 srv/pages/",
            "644 srv/pages/index.html",
            "777 srv/pages/start.html -> index.html",
            "755 sys/",
            "1777 tmp/",
            "755 var/",
            "755 var/lib/",
            "755 var/lib/data/",
        ]
    );
    // Another order, other modes that mean the same, another time.
    let two = Place::new();
    symlink("index.html", two.path("ws").join("x")).unwrap();
    two.write("out/pages/index.html", b"<p>", 0o600);
    symlink("index.html", two.path("ws/out/pages/start.html")).unwrap();
    two.write("out/web", b"#!/bin/sh\n", 0o711);
    let again = two.build(&[("/srv/pages", "out/pages"), ("/bin/web", "out/web")]).unwrap();
    assert_eq!((built.digest, built.layer), (again.digest, again.layer));
    two.write("out/web", b"#!/bin/sh\n#\n", 0o755);
    assert_ne!(two.build(&[("/srv/pages", "out/pages"), ("/bin/web", "out/web")]).unwrap().digest, built.digest);
}

#[test]
fn an_image_says_where_it_is_from() {
    let place = Place::new();
    place.write("web", b"#!/bin/sh\n", 0o755);
    let built = place.build(&[("/bin/web", "web")]).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&place.store.read(built.digest).unwrap()).unwrap();
    let annotations = &manifest["annotations"];
    for (name, value) in [
        ("org.opencontainers.image.created", "2023-11-14T22:13:20Z"),
        ("org.opencontainers.image.revision", "1111111111111111111111111111111111111111"),
        ("org.opencontainers.image.source", "https://git.example/paydesk"),
        ("org.opencontainers.image.version", "paydesk-000042"),
        ("org.opencontainers.image.title", "web"),
        ("org.opencontainers.image.vendor", "paydesk"),
        ("io.countersign.serial", "paydesk-000042"),
    ] {
        assert_eq!(annotations[name], value, "{name}");
    }
    let config = manifest["config"]["digest"].as_str().unwrap().parse().unwrap();
    let config: serde_json::Value = serde_json::from_slice(&place.store.read(config).unwrap()).unwrap();
    assert_eq!(config["os"], "linux");
    assert_eq!(config["config"]["Labels"], *annotations);
    assert_eq!(config["config"]["User"], COMPONENT_USER);
    assert_eq!(config["config"]["Entrypoint"][0], "/bin/web");
    assert_eq!(config["config"]["ExposedPorts"], serde_json::json!({ "8080/tcp": {} }));
    let env = config["config"]["Env"].as_array().unwrap();
    assert!(
        env.contains(&"COUNTERSIGN_SERIAL=paydesk-000042".into()) && env.contains(&"CURRENCY=EUR".into()),
        "{env:?}"
    );
    assert_eq!(config["rootfs"]["diff_ids"][0], built.layer.to_string());
}

#[test]
fn what_can_not_be_in_an_image_is_refused() {
    let place = Place::new();
    place.write("web", b"x", 0o755);
    place.write("dir/a", b"x", 0o644);
    symlink("/etc", place.path("ws/away")).unwrap();
    symlink("dir", place.path("ws/near")).unwrap();
    nix::unistd::mkfifo(&place.path("ws/dir2-fifo"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let refuse = |files: &[(&str, &str)]| place.build(files).unwrap_err().to_string();
    assert_eq!(
        refuse(&[]),
        "component `web` has no files: name what the build makes, as in `files = { \"/bin/web\" = \"target/debug/web\" }`"
    );
    for target in ["bin/web", "/bin/../web", "/a\0b"] {
        assert!(refuse(&[(target, "web")]).contains("is not a place in an image"), "{target}");
    }
    for source in ["", "/etc/passwd", "../x", "a/../../x"] {
        assert!(refuse(&[("/bin/web", source)]).contains("is not a path in the workspace"), "{source}");
    }
    assert!(
        refuse(&[("/bin/web", "absent")])
            .starts_with("`absent` is not there after the build: `files` of component `web` names it")
    );
    assert!(refuse(&[("/bin/web", "away/passwd")]).starts_with("`away/passwd` is not there"));
    assert!(refuse(&[("/bin/web", "near/a")]).starts_with("can not read"));
    assert!(refuse(&[("/bin/web", "dir2-fifo")]).ends_with("is neither a file, a folder nor a link"));
    assert!(refuse(&[("/bin", "web"), ("/bin/web", "web")]).contains("comes from two places"));
    assert!(refuse(&[("/tmp", "web")]).contains("comes from two places"));
    assert!(refuse(&[("/x", "near"), ("/x/y", "web")]).contains("comes from two places"));
}

/// Compiles C; the machine's compiler is among what the project needs anyway to link.
fn compile(place: &Place, name: &str, code: &str, options: &[&str]) {
    let source = place.path("code.c");
    fs::write(&source, code).unwrap();
    let mut command = Command::new("cc");
    command.arg(&source).args(options).arg("-o").arg(place.path("ws").join(name)).current_dir(place.path("ws"));
    assert!(command.status().unwrap().success());
}

#[test]
fn shared_libraries_come_along_with_their_packages() {
    let place = Place::new();
    compile(
        &place,
        "web",
        "#include <math.h>\n#include <stdio.h>\nint main(int c, char **v) { printf(\"%.1f\\n\", cos(c - 1)); }",
        &["-lm"],
    );
    let built = place.build(&[("/bin/web", "web")]).unwrap();
    let names: Vec<&str> = built.libraries.iter().map(|l| l.path.rsplit('/').next().unwrap()).collect();
    assert!(
        names.contains(&"libm.so.6") && names.contains(&"libc.so.6") && names.iter().any(|n| n.starts_with("ld-linux")),
        "{names:?}"
    );
    if Path::new(packages::DATABASE).exists() {
        for library in &built.libraries {
            let package = library.package.as_ref().unwrap_or_else(|| panic!("{} has no package", library.path));
            assert!(package.name.starts_with("libc6") && !package.version.is_empty(), "{package:?}");
        }
    }
    if nix::unistd::geteuid().is_root() {
        let root = place.path("root");
        tar::Archive::new(fs::File::open(place.store.blob(built.layer)).unwrap()).unpack(&root).unwrap();
        let output = Command::new("chroot").arg(&root).arg("/bin/web").output().unwrap();
        assert_eq!(output.stdout, b"1.0\n", "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn libraries_of_the_image_are_found_where_its_programs_look() {
    let place = Place::new();
    compile(&place, "libdesk.so", "int desk(void) { return 7; }", &["-shared", "-fPIC"]);
    let main = "int desk(void); int main(void) { return desk(); }";
    compile(&place, "plain", main, &["-L.", "-ldesk"]);
    compile(&place, "near", main, &["-L.", "-ldesk", "-Wl,-rpath,$ORIGIN/../own"]);
    let refused = place.build(&[("/bin/web", "plain")]).unwrap_err().to_string();
    assert!(
        refused.starts_with(
            "`/bin/web` needs the shared library `libdesk.so`, which is neither in the image nor on this machine"
        ),
        "{refused}"
    );
    place.build(&[("/bin/web", "plain"), ("/usr/lib/libdesk.so", "libdesk.so")]).unwrap();
    place.build(&[("/bin/web", "near"), ("/own/libdesk.so", "libdesk.so")]).unwrap();
    assert!(place.build(&[("/bin/web", "plain"), ("/own/libdesk.so", "libdesk.so")]).is_err());
    // On a merged tree, `/lib` is a link, and libraries go where it leads.
    fs::create_dir_all(place.path("ws/merged/usr/lib")).unwrap();
    symlink("usr/lib", place.path("ws/merged/lib")).unwrap();
    let merged = place.build(&[("/", "merged"), ("/bin/web", "plain"), ("/usr/lib/libdesk.so", "libdesk.so")]).unwrap();
    assert!(
        merged.libraries.iter().any(|l| l.path.starts_with("/usr/lib/") && l.path.ends_with("libc.so.6")),
        "{:?}",
        merged.libraries
    );
    // Broken programs are refused rather than shipped.
    place.write("broken", &[b"\x7fELF\x02\x01\x01".as_slice(), &[0xff; 100]].concat(), 0o755);
    assert!(matches!(place.build(&[("/bin/web", "broken")]), Err(ImageError::Elf { .. })));
}

#[test]
fn a_damaged_blob_is_noticed() {
    let place = Place::new();
    place.write("web", b"#!/bin/sh\n", 0o755);
    let built = place.build(&[("/bin/web", "web")]).unwrap();
    place.store.verify(built.digest).unwrap();
    let blob = place.store.blob(built.layer);
    let mut bytes = fs::read(&blob).unwrap();
    bytes[100] ^= 1;
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, bytes).unwrap();
    assert!(matches!(place.store.verify(built.digest), Err(StoreError::Changed(d)) if d == built.layer));
    fs::remove_file(&blob).unwrap();
    assert!(matches!(place.store.verify(built.digest), Err(StoreError::Missing(d)) if d == built.layer));
}

#[test]
fn exports_are_layouts_that_other_tools_read_and_imports_take() {
    let place = Place::new();
    place.write("web", b"#!/bin/sh\n", 0o755);
    let built = place.build(&[("/bin/web", "web")]).unwrap();
    let layout = place.path("layout");
    place.store.export(built.digest, "paydesk-web:paydesk-000042", &layout).unwrap();
    assert!(Path::new("/usr/bin/skopeo").exists(), "`scripts/setup test` installs skopeo");
    let output = Command::new("skopeo")
        .arg("inspect")
        .arg(format!("oci:{}:paydesk-web:paydesk-000042", layout.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["Digest"], built.digest.to_string());
    assert_eq!(seen["Labels"]["io.countersign.serial"], "paydesk-000042");
    let other = ImageStore::open(&place.path("other")).unwrap();
    let imported = other.import(&layout, built.digest).unwrap();
    assert_eq!(
        (imported.digest, imported.layers, imported.command),
        (built.digest, vec![built.layer], vec!["/bin/web".to_owned()])
    );
    other.verify(built.digest).unwrap();
}

/// An exported image, to be damaged.
struct Foreign {
    place: Place,
    layout: PathBuf,
    built: BuiltImage,
}

impl Foreign {
    fn new() -> Self {
        let place = Place::new();
        place.write("web", b"#!/bin/sh\n", 0o755);
        let built = place.build(&[("/bin/web", "web")]).unwrap();
        let layout = place.path("layout");
        place.store.export(built.digest, "x", &layout).unwrap();
        // Exported blobs are links to those of the store, which must stay whole.
        for blob in fs::read_dir(layout.join("blobs/sha256")).unwrap() {
            let path = blob.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
        }
        Self { place, layout, built }
    }

    fn blob(&self, digest: Digest) -> PathBuf {
        self.layout.join("blobs/sha256").join(digest.hex())
    }

    fn add(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        fs::write(self.blob(digest), bytes).unwrap();
        digest
    }

    fn import(&self, digest: Digest) -> Result<Imported, ImportError> {
        let taken = tempfile::tempdir().unwrap();
        let store = ImageStore::open(taken.path()).unwrap();
        let result = store.import(&self.layout, digest);
        if result.is_err() {
            assert!(matches!(store.read(digest), Err(StoreError::Missing(_))), "a refused image is not in the store");
        }
        result
    }
}

#[test]
fn malformed_layouts_are_refused() {
    let foreign = Foreign::new();
    let (image, layer) = (foreign.built.digest, foreign.built.layer);
    let absent = Digest::of(b"absent");
    assert!(matches!(foreign.import(absent), Err(ImportError::NotThere(d)) if d == absent));

    let bytes = fs::read(foreign.blob(layer)).unwrap();
    let mut changed = bytes.clone();
    changed[0] ^= 1;
    fs::write(foreign.blob(layer), &changed).unwrap();
    assert!(matches!(foreign.import(image), Err(ImportError::WrongDigest { wanted, .. }) if wanted == layer));
    fs::write(foreign.blob(layer), [bytes.as_slice(), b"more"].concat()).unwrap();
    assert!(matches!(foreign.import(image), Err(ImportError::WrongSize { digest, .. }) if digest == layer));
    fs::remove_file(foreign.blob(layer)).unwrap();
    assert!(matches!(foreign.import(image), Err(ImportError::MissingBlob(d)) if d == layer));
    fs::write(foreign.place.path("elsewhere"), &bytes).unwrap();
    symlink(foreign.place.path("elsewhere"), foreign.blob(layer)).unwrap();
    assert!(matches!(foreign.import(image), Err(ImportError::Io { .. })));
    fs::remove_file(foreign.blob(layer)).unwrap();
    fs::write(foreign.blob(layer), &bytes).unwrap();
    foreign.import(image).unwrap();

    for (document, why) in [
        ("not json", "is not an image manifest or index"),
        ("{}", "is not an image manifest"),
        (r#"{"schemaVersion":2,"mediaType":"text/plain"}"#, "its media type is `text/plain`"),
        (
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#,
            "the image is for ",
        ),
    ] {
        let error = foreign.import(foreign.add(document.as_bytes())).unwrap_err().to_string();
        assert!(error.contains(why), "{document}: {error}");
    }
    let large = foreign.add(&vec![b' '; 5 << 20]);
    assert!(matches!(foreign.import(large), Err(ImportError::TooLarge { .. })));
    let text = String::from_utf8(fs::read(foreign.blob(image)).unwrap()).unwrap();
    let other = foreign.add(text.replace("image.layer.v1.tar", "image.layer.v9.tar").as_bytes());
    assert!(foreign.import(other).unwrap_err().to_string().contains("is not a kind of layer"));

    fs::write(foreign.layout.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    assert!(foreign.import(image).unwrap_err().to_string().contains("its version is `2.0.0`"));
    fs::remove_file(foreign.layout.join("oci-layout")).unwrap();
    assert!(foreign.import(image).unwrap_err().to_string().contains("there is no file `oci-layout`"));
}

#[test]
fn of_an_index_the_image_for_this_machine_is_taken() {
    let foreign = Foreign::new();
    let entry = |architecture: &str, digest| Descriptor {
        media_type: wire::MANIFEST.to_owned(),
        digest,
        size: 1,
        platform: Some(Platform { architecture: architecture.to_owned(), os: "linux".to_owned() }),
        annotations: BTreeMap::new(),
    };
    let index = |manifests| serde_json::to_vec(&Index { schema_version: 2, media_type: None, manifests }).unwrap();
    let absent = Digest::of(b"absent");
    let both = foreign.add(&index(vec![entry("s390x", absent), entry(wire::architecture(), foreign.built.digest)]));
    assert_eq!(foreign.import(both).unwrap().digest, foreign.built.digest);
    let wrong = foreign.add(&index(vec![entry("s390x", absent)]));
    let error = foreign.import(wrong).unwrap_err().to_string();
    assert!(error.starts_with("the image is for linux/s390x, and this machine is linux/"), "{error}");
    let mut nested = both;
    for _ in 0..6 {
        nested = foreign.add(&index(vec![entry(wire::architecture(), nested)]));
    }
    assert!(foreign.import(nested).unwrap_err().to_string().contains("nested too deeply"));
}
