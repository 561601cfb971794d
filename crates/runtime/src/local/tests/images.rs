//! Images: what is unpacked, what is refused, and that corrupt ones start nothing.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use model::Digest;
use proptest::prelude::{ProptestConfig, Strategy, prop, prop_assert_eq, proptest};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::fixture::*;
use crate::local::{
    image::{self, Blobs, ImageError, Layer, Packing},
    layer::{LayerError, Tree},
};

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// A blob store, a folder beside it that must stay as it is, and a tree to unpack into; no root needed.
struct Store {
    folder: TempDir,
}

impl Store {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
        fs::create_dir_all(folder.path().join("tree")).unwrap();
        put(&folder.path().join("outside"), b"untouched");
        Self { folder }
    }

    fn blobs(&self) -> Blobs {
        Blobs::new(self.folder.path())
    }

    fn put(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        put(&self.folder.path().join("blobs/sha256").join(digest.hex()), bytes);
        digest
    }

    fn tree(&self) -> std::path::PathBuf {
        self.folder.path().join("tree")
    }

    fn layer(&self, bytes: &[u8]) -> Layer {
        let blob = self.put(bytes);
        Layer { blob, bytes: bytes.len() as u64, packing: Packing::Plain, diff: blob }
    }

    fn unpack(&self, layers: &[Vec<u8>]) -> Result<(), LayerError> {
        let mut tree = Tree::new(&self.tree()).unwrap();
        layers.iter().try_for_each(|layer| tree.apply(&self.blobs(), &self.layer(layer)))
    }
}

fn special(path: &str, kind: tar::EntryType) -> Entry<'_> {
    Entry { path, kind, mode: 0o644, content: b"", link: "" }
}

#[test]
fn layers_are_laid_one_over_the_other() {
    let store = Store::new();
    let lower = archive(&[
        folder("./"),
        folder("usr/lib"),
        link("lib", "usr/lib"),
        link("absolute", "/usr/lib"),
        file("usr/lib/a", 0o4755, b"a"),
        file("gone", 0o644, b""),
        folder("emptied"),
        file("emptied/old", 0o644, b""),
        file("becomes-folder", 0o644, b""),
        folder("becomes-file"),
        file("becomes-file/x", 0o644, b""),
        link("becomes-real", "usr/lib/a"),
    ]);
    let upper = archive(&[
        file("lib/b", 0o600, b"b"),
        file("absolute/c", 0o644, b"c"),
        hard_link("hard", "lib/a"),
        file("emptied/new", 0o644, b"new"),
        file("emptied/.wh..wh..opq", 0o644, b""),
        file(".wh.gone", 0o644, b""),
        file(".wh.never-was", 0o644, b""),
        file("no/such/folder/.wh.x", 0o644, b""),
        folder("becomes-folder"),
        file("becomes-file", 0o644, b"f"),
        file("becomes-real", 0o644, b"real"),
        file("made/above/it", 0o644, b""),
    ]);
    store.unpack(&[lower, upper]).unwrap();
    let tree = store.tree();
    let text = |path: &str| fs::read_to_string(tree.join(path)).unwrap();
    assert_eq!(
        (
            text("usr/lib/b"),
            text("usr/lib/c"),
            text("hard"),
            text("becomes-file"),
            text("becomes-real"),
            text("usr/lib/a")
        ),
        ("b".into(), "c".into(), "a".into(), "f".into(), "real".into(), "a".into())
    );
    assert!(fs::symlink_metadata(tree.join("lib")).unwrap().is_symlink());
    assert_eq!(fs::metadata(tree.join("usr/lib/a")).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(fs::metadata(tree.join("usr/lib/b")).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(tree.join("hard")).unwrap().ino(), fs::metadata(tree.join("usr/lib/a")).unwrap().ino());
    assert!(tree.join("becomes-folder").is_dir() && tree.join("made/above/it").is_file());
    assert!(!tree.join("gone").exists() && !tree.join("emptied/old").exists() && tree.join("emptied/new").exists());
    let names: Vec<String> =
        fs::read_dir(&tree).unwrap().flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    assert!(!names.iter().any(|name| name.starts_with(".wh.") || name == "no"), "{names:?}");
}

#[test]
fn nothing_is_written_outside_and_nothing_strange_inside() {
    let long = "a/".repeat(49) + "x";
    let rows: [(Vec<Entry<'_>>, &str); 15] = [
        (vec![file("../outside", 0o644, b"x")], "its path leads upwards"),
        (vec![file("a/../../outside", 0o644, b"x")], "its path leads upwards"),
        (vec![file("/outside", 0o644, b"x")], "its path is absolute"),
        (vec![folder("..")], "its path leads upwards"),
        (vec![hard_link("a", "../outside")], "its path leads upwards"),
        (vec![hard_link("a", "/etc/passwd")], "its path is absolute"),
        (vec![hard_link("a", "nothing")], "its hard link leads to nothing"),
        (vec![link("l", "../../outside"), hard_link("a", "l")], "a hard link must lead to a file"),
        (vec![folder("d"), hard_link("a", "d")], "a hard link must lead to a file"),
        (vec![link("a", "")], "a link must have a target"),
        (vec![special("dev", tar::EntryType::Char)], "device nodes are not allowed in an image"),
        (vec![special("dev", tar::EntryType::Block)], "device nodes are not allowed in an image"),
        (vec![special("pipe", tar::EntryType::Fifo)], "named pipes are not allowed in an image"),
        (vec![file("a/.wh...", 0o644, b"")], ""),
        (vec![folder("a"), file("a/.wh.", 0o644, b"")], ""),
    ];
    for (entries, why) in rows {
        let store = Store::new();
        let lower = archive(&[folder("a"), file("a/kept", 0o644, b"")]);
        match store.unpack(&[lower, archive(&entries)]) {
            Err(error @ LayerError::Refused { .. }) => assert!(error.to_string().contains(why), "{error}"),
            other => panic!("{why}: {other:?}"),
        }
        assert_eq!(fs::read(store.folder.path().join("outside")).unwrap(), b"untouched");
    }
    // A link that leads outside leads, within the tree, to the tree's own file of that name.
    let store = Store::new();
    store
        .unpack(&[
            archive(&[link("up", "../../../../../.."), link("etc", "/etc"), link("deep", "up/../..")]),
            archive(&[
                file("up/outside", 0o644, b"x"),
                file("etc/passwd", 0o644, b"x"),
                file("deep/other", 0o644, b"x"),
                file("up/.wh.never", 0o644, b""),
            ]),
        ])
        .unwrap_or_else(|error| assert!(matches!(error, LayerError::Write { .. }), "{error}"));
    assert_eq!(fs::read(store.folder.path().join("outside")).unwrap(), b"untouched");
    assert!(store.tree().join("outside").is_file() && !store.folder.path().join("other").exists());
    assert_ne!(fs::read("/etc/passwd").unwrap(), b"x");
    // Depth and the length of names.
    let deep = Store::new();
    deep.unpack(&[archive(&[file(&long, 0o644, b"")])]).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    builder.append_data(&mut header, "a/".repeat(129) + "x", &b""[..]).unwrap();
    assert!(deep.unpack(&[builder.into_inner().unwrap()]).unwrap_err().to_string().contains("its path is too deep"));
}

/// Names made of the parts that tricks are made of.
fn any_name() -> impl Strategy<Value = String> {
    let part =
        prop::sample::select(vec!["a", "b", "..", ".", "", ".wh.a", ".wh.b", ".wh..wh..opq", ".wh...", "outside"]);
    prop::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"))
}

fn any_entry() -> impl Strategy<Value = (String, u8, String)> {
    (any_name(), prop::sample::select(b"0125634xgLK7".to_vec()), any_name())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_layer_says_nothing_outside_of_the_tree_changes(
        layers in prop::collection::vec(prop::collection::vec(any_entry(), 0..8), 1..3)
    ) {
        let store = Store::new();
        put(&store.folder.path().join("a"), b"untouched");
        let archives: Vec<Vec<u8>> = layers
            .iter()
            .map(|entries| {
                let entries: Vec<Entry<'_>> = entries
                    .iter()
                    .map(|(path, kind, link)| Entry { path, kind: tar::EntryType::new(*kind), mode: 0o7777, content: b"x", link })
                    .collect();
                archive(&entries)
            })
            .collect();
        let unpacked = store.unpack(&archives);
        for (name, content) in [("outside", b"untouched"), ("a", b"untouched")] {
            prop_assert_eq!(fs::read(store.folder.path().join(name)).unwrap(), content, "{:?}", unpacked);
        }
        let mut beside: Vec<_> =
            fs::read_dir(store.folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        beside.sort();
        prop_assert_eq!(beside, ["a", "blobs", "outside", "tree"]);
    }
}

#[test]
fn limits_hold_before_anything_is_written() {
    let store = Store::new();
    let huge_header = archive(&[Entry {
        path: "x",
        kind: tar::EntryType::GNULongName,
        mode: 0,
        content: &vec![b'a'; (1 << 20) + 1],
        link: "",
    }]);
    assert!(matches!(store.unpack(&[huge_header]), Err(LayerError::TooLarge(_))));
    // A file that claims more than the archive has.
    let mut torn = archive(&[file("x", 0o644, &[b'a'; 4_096])]);
    torn.truncate(2_048);
    assert!(matches!(store.unpack(&[torn]), Err(LayerError::Read(..))));
    assert!(matches!(
        store.unpack(&[b"not an archive, but long enough to be taken for a header".repeat(20)]),
        Err(LayerError::Read(..))
    ));
}

#[test]
fn every_packing_is_read_and_every_digest_checked() {
    let plain = archive(&[file("hello", 0o644, b"hello")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let packed = [
        (Packing::Plain, plain.clone()),
        (Packing::Gzip, gzip.finish().unwrap()),
        (Packing::Zstd, zstd::encode_all(plain.as_slice(), 1).unwrap()),
    ];
    for (packing, bytes) in packed {
        let store = Store::new();
        let blob = store.put(&bytes);
        let good = Layer { blob, bytes: bytes.len() as u64, packing, diff: Digest::of(&plain) };
        Tree::new(&store.tree()).unwrap().apply(&store.blobs(), &good).unwrap();
        assert_eq!(fs::read(store.tree().join("hello")).unwrap(), b"hello");
        let mut tree = Tree::new(&store.tree()).unwrap();
        let mut with = |edit: &dyn Fn(&mut Layer)| {
            let mut layer = good.clone();
            edit(&mut layer);
            tree.apply(&store.blobs(), &layer).unwrap_err()
        };
        assert!(matches!(with(&|layer| layer.diff = Digest::of(b"another")), LayerError::Diff { .. }));
        assert!(matches!(with(&|layer| layer.bytes += 1), LayerError::Image(ImageError::Size { .. })));
        assert!(matches!(with(&|layer| layer.bytes -= 1), LayerError::Image(ImageError::Size { .. })));
        assert!(matches!(
            with(&|layer| layer.blob = Digest::of(b"another")),
            LayerError::Image(ImageError::Missing(_))
        ));
        // One bit anywhere.
        let path = store.folder.path().join("blobs/sha256").join(blob.hex());
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            put(&path, &changed);
            assert!(matches!(with(&|_| {}), LayerError::Image(ImageError::Corrupt { .. })), "{packing:?} {at}");
        }
        put(&path, &bytes[..bytes.len() - 1]);
        assert!(matches!(with(&|_| {}), LayerError::Image(ImageError::Corrupt { .. })));
        // A link in the store is not followed, wherever it leads.
        let elsewhere = store.folder.path().join("elsewhere");
        put(&elsewhere, &bytes);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(matches!(with(&|_| {}), LayerError::Image(ImageError::Io(..))));
    }
}

#[test]
fn documents_that_are_no_image_are_told_apart() {
    let store = Store::new();
    let layer = archive(&[]);
    let layer_digest = store.put(&layer).to_string();
    let config = |diffs: Value| {
        serde_json::to_vec(
            &json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": diffs } }),
        )
        .unwrap()
    };
    let manifest = |config: &[u8], layers: Value| json!({ "schemaVersion": 2, "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": store.put(config).to_string(), "size": config.len() }, "layers": layers });
    let row = |media: &str| json!([{ "mediaType": media, "digest": layer_digest, "size": layer.len() }]);
    let read = |document: &[u8]| {
        image::read(&store.blobs(), store.put(document)).map(|_| ()).map_err(|error| error.to_string())
    };
    let text = |value: &Value| serde_json::to_vec(value).unwrap();
    let good = config(json!([layer_digest]));
    assert_eq!(read(&text(&manifest(&good, row(TAR)))), Ok(()));
    assert_eq!(read(&text(&manifest(&good, row("application/vnd.docker.image.rootfs.diff.tar.gzip")))), Ok(()));
    let index = json!({ "schemaVersion": 2, "manifests": [{ "digest": "sha256:12", "platform": { "os": "linux", "architecture": "arm64" } }] });
    let mut wrong_size = manifest(&good, row(TAR));
    wrong_size["config"]["size"] = json!(1);
    let rows = [
        (text(&index), "is an index of several platforms; name the manifest of one of them: linux/arm64 `sha256:12`"),
        (b"{".to_vec(), "is not an OCI image manifest"),
        (text(&json!({ "schemaVersion": 2 })), "is not an OCI image manifest"),
        (text(&manifest(&good, json!([]))), "0 layers, but the configuration names 1"),
        (
            text(&manifest(&good, row("application/x-foreign"))),
            "a layer of the type `application/x-foreign` is not known",
        ),
        (text(&manifest(b"{}", row(TAR))), "is not an OCI image configuration"),
        (text(&wrong_size), "bytes where 1 were promised"),
        (text(&manifest(&config(json!(["md5:1"])), row(TAR))), "does not start with `sha256:`"),
        (vec![b' '; (4 << 20) + 1], "is over the limit"),
    ];
    for (document, why) in rows {
        let found = read(&document).unwrap_err();
        assert!(found.contains(why), "{found}");
    }
    assert!(
        image::read(&store.blobs(), Digest::of(b"nothing"))
            .unwrap_err()
            .to_string()
            .contains("is not in the image store")
    );
}

#[test]
fn root_a_corrupt_or_bad_image_starts_nothing_and_leaves_nothing() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let image = world.busybox(&[]);
    let web = spec(&component("web", image, &[]), 1, 1);
    let manifest: Value = serde_json::from_slice(&fs::read(world.blob_path(image)).unwrap()).unwrap();
    let layer: Digest = manifest["layers"][0]["digest"].as_str().unwrap().parse().unwrap();
    let bytes = fs::read(world.blob_path(layer)).unwrap();
    let mut changed = bytes.clone();
    changed[5_000] ^= 1;
    put(&world.blob_path(layer), &changed);
    assert!(refused(&mut local, &start(&web)).contains("is corrupt: its content has the digest"));
    let bad = world.image(&[archive(&[file("../x", 0o644, b"")])], json!({}));
    assert!(
        refused(&mut local, &start(&spec(&component("bad", bad, &["/x"]), 1, 1)))
            .contains("the entry `../x` is refused")
    );
    assert_eq!(observed(&mut local).instances, []);
    put(&world.blob_path(layer), &bytes);
    do_step(&mut local, &start(&web));
    wait_healthy(&mut local, &web.id);
    // Made again from the same image it is the same file to the byte.
    let roots = world.config.state_dir.join("roots");
    let root = || {
        fs::read_dir(&roots)
            .unwrap()
            .flatten()
            .map(|e| e.path())
            .find(|path| path.extension() == Some("erofs".as_ref()))
            .unwrap()
    };
    let first = Digest::of(&fs::read(root()).unwrap());
    end(&mut local, &web.id);
    fs::remove_file(root()).unwrap();
    do_step(&mut local, &start(&web));
    assert_eq!(Digest::of(&fs::read(root()).unwrap()), first);
}

#[test]
fn root_an_image_that_can_not_run_says_why() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let image = world.busybox(&[]);
    let empty = world.image(&[archive(&[folder("bin")])], json!({}));
    let rows = [
        (component("nothing", empty, &[]), "has no entry point: give the component a `command` in the manifest"),
        (component("missing", image, &["/bin/missing"]), "no such file or directory"),
        (component("not-a-program", image, &["/www/health"]), "permission denied"),
    ];
    for (component, why) in rows {
        let said = refused(&mut local, &start(&spec(&component, 1, 1)));
        assert!(said.contains(why), "{said}");
    }
    let mut place = component("place", image, &[]);
    for path in ["data", "/", "/a/../b", "/proc/x", "/tmp", "/run/secrets/x", "/a//b"] {
        place.volumes = vec![volume(path, false)];
        let said = refused(&mut local, &start(&spec(&place, 1, 1)));
        assert!(said.contains("can not be") || said.contains("absolute"), "{path}: {said}");
    }
    assert_eq!(observed(&mut local).instances, []);
    drop(local);
    assert!(Path::new(&world.config.state_dir).join("work").read_dir().unwrap().next().is_none());
}

#[test]
fn root_a_kernel_that_mounts_no_files_mounts_them_by_a_loop_device() {
    let Some(world) = World::new() else { return };
    let local = world.open();
    let image = image::read(&local.blobs, world.busybox(&[])).unwrap();
    let seal = local.roots.ensure(&world.config.tools, &local.blobs, &image, Digest::of(b"any"), &["/data"]).unwrap();
    let target = world.config.state_dir.join("here");
    fs::create_dir(&target).unwrap();
    local.roots.mount_by_loop(&world.config.tools, &seal, &target).unwrap();
    assert_eq!(fs::read(target.join("www/health")).unwrap(), b"well\n");
    assert!(target.join("data").is_dir() && target.join("proc").is_dir());
    assert!(fs::OpenOptions::new().create_new(true).write(true).open(target.join("x")).is_err());
    crate::local::root::unmount(&target).unwrap();
    crate::local::root::unmount(&target).unwrap();
    let state = world.config.state_dir.display().to_string();
    wait_until("the loop device is gone", || {
        fs::read_dir("/sys/block")
            .unwrap()
            .flatten()
            .filter_map(|block| fs::read_to_string(block.path().join("loop/backing_file")).ok())
            .all(|file| !file.contains(&state))
    });
}
