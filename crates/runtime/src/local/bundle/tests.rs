//! What runc is told, as a value.

use rollout::instance::InstanceSpec;

use super::*;

fn plan() -> InstanceSpec {
    serde_json::from_value(json!({
        "id": { "environment": "production", "serial": "paydesk-000042", "component": "web", "number": 1 },
        "release": model::Digest::of(b"release"),
        "component": {
            "name": "web", "image": model::Digest::of(b"image"), "command": [], "port": 8080,
            "health": { "path": null, "interval_ms": 1, "timeout_ms": 1, "deadline_ms": 1 },
            "zone": "front", "replicas": 1,
            "limits": { "memory_mib": 64, "cpu_percent": 50, "pids": 32, "tmp_mib": 8, "stop_timeout_ms": 1 },
            "volumes": [{ "name": "data", "path": "/data", "exclusive": true }],
            "migrations": [], "environment": { "A": "component", "PORT": "1", "COUNTERSIGN_SERIAL": "forged" },
            "secrets": { "TOKEN_FILE": "pay-token" },
        },
        "peers": { "COUNTERSIGN_PEER_LEDGER": ["10.7.2.2:81", "10.7.2.3:81"] },
        "from_edge": true,
    }))
    .unwrap()
}

fn image() -> Image {
    Image {
        command: vec!["/entry".to_owned(), "argument".to_owned()],
        environment: vec![
            "A=image".to_owned(),
            "B=image".to_owned(),
            "PATH=/opt".to_owned(),
            "no equals sign".to_owned(),
        ],
        folder: Some("/srv".to_owned()),
        ..Image::default()
    }
}

fn places() -> Places<'static> {
    Places {
        root: Path::new("/state/root"),
        network: Path::new("/run/netns/x"),
        cgroup: "/countersign/x",
        uid: 70_000,
        secrets: Some(Path::new("/state/secrets")),
        values: Some(Path::new("/state/values")),
        volumes: [("/data", Path::new("/volumes/data"))].into(),
        open_files: 20_000,
        counts_swap: true,
    }
}

#[test]
fn nothing_of_a_bundle_is_unknown_to_the_specification() {
    // A misspelt key would be left out by the typed form, and what it asks for with it.
    let document = document(&plan(), &image(), &places()).unwrap();
    let typed = serde_json::to_value(spec(&plan(), &image(), &places()).unwrap()).unwrap();
    lost(&document, &typed, "");
}

/// Fails where the second lacks something that the first has.
fn lost(asked: &Value, typed: &Value, at: &str) {
    match (asked, typed) {
        (Value::Object(asked), Value::Object(typed)) => {
            for (key, value) in asked {
                let found = typed.get(key).unwrap_or_else(|| panic!("{at}/{key} is lost"));
                lost(value, found, &format!("{at}/{key}"));
            }
        }
        // Sets are written in another order.
        (Value::Array(asked), Value::Array(typed)) => assert_eq!(asked.len(), typed.len(), "{at}"),
        (asked, typed) => assert_eq!(asked, typed, "{at}"),
    }
}

#[test]
fn ours_goes_over_the_components_and_the_components_over_the_images() {
    let document = document(&plan(), &image(), &places()).unwrap();
    let environment: Vec<&str> =
        document["process"]["env"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    let wanted = [
        "A=component",
        "B=image",
        "COUNTERSIGN_COMPONENT=web",
        "COUNTERSIGN_ENVIRONMENT=production",
        "COUNTERSIGN_PEER_LEDGER=10.7.2.2:81,10.7.2.3:81",
        "COUNTERSIGN_SERIAL=paydesk-000042",
        "PATH=/opt",
        "PORT=8080",
        "TOKEN_FILE=/run/secrets/pay-token",
    ];
    assert_eq!(environment, wanted);
    assert_eq!(document["process"]["args"], json!(["/entry", "argument"]));
    assert_eq!(document["process"]["cwd"], "/srv");
    let mut plan = plan();
    plan.component.command = vec!["/own".to_owned()];
    let own = super::document(&plan, &Image::default(), &places()).unwrap();
    assert_eq!((&own["process"]["args"], &own["process"]["cwd"]), (&json!(["/own"]), &json!("/")));
}

#[test]
fn limits_are_written_as_the_kernel_counts_them() {
    let document = document(&plan(), &image(), &places()).unwrap();
    let resources = &document["linux"]["resources"];
    assert_eq!(resources["memory"], json!({ "limit": 67_108_864, "swap": 67_108_864 }));
    assert_eq!(resources["cpu"], json!({ "period": 100_000, "quota": 50_000 }));
    assert_eq!(resources["pids"]["limit"], 32);
    assert_eq!(document["process"]["rlimits"][0], json!({ "type": "RLIMIT_NOFILE", "hard": 20_000, "soft": 20_000 }));
    let without = Places { counts_swap: false, open_files: u64::MAX, ..places() };
    let document = super::document(&plan(), &image(), &without).unwrap();
    assert_eq!(document["linux"]["resources"]["memory"], json!({ "limit": 67_108_864 }));
    assert_eq!(document["process"]["rlimits"][0]["hard"], OPEN_FILES_LIMIT);
}
