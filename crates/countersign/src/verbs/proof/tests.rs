use std::path::Path;

use super::{Args, run};
use crate::{
    fault::Kind,
    verbs::world::{World, arguments, printed, ran},
};

fn keep(path: &Path, text: impl AsRef<[u8]>) {
    ledger::durable::write(path, text.as_ref(), 0o644).unwrap();
}

fn words<'a>(first: &[&'a str], paths: &[&'a Path]) -> Vec<&'a str> {
    first.iter().copied().chain(paths.iter().map(|p| p.to_str().unwrap())).collect()
}

#[test]
fn a_proof_is_written_and_checked_without_the_log() {
    let world = World::new();
    let (_, proposal, _) = world.released(1, None, [None, None]);
    let (proof, entry) = (world.path("approval.tlog-proof"), world.path("approval.dsse.json"));
    let approval = (proposal + 1).to_string();
    let write: Args = arguments(&words(&["write", &approval, "--out"], &[&proof]));
    let text = printed(|out| run(&write, &world.common, out));
    assert!(text.contains(&format!("approval.dsse.json is entry {approval}\n")), "{text}");
    let twice = ran(|out| run(&write, &world.common, out)).1.unwrap_err();
    assert_eq!(twice.kind(), Kind::Usage, "a file that is there stays");

    // From here on without a server, as somebody else who has the two files and the charter.
    let mut offline = world.common.clone();
    offline.server = None;
    let check = words(&["check"], &[&proof, &entry]);
    let text = printed(|out| run(&arguments::<Args>(&check), &offline, out));
    assert!(
        text.starts_with(&format!("entry {approval} of ")) && text.contains(" in the log log.test/paydesk\n"),
        "{text}"
    );
    assert!(text.contains("cosigned by somebody-else at 20") && text.contains("signed: approval by ben\n"), "{text}");
    let hash = "sha256:".to_owned() + &"0".repeat(64);
    let other = [&check[..], &["--charter", &hash]].concat();
    assert_eq!(ran(|out| run(&arguments::<Args>(&other), &offline, out)).1.unwrap_err().kind(), Kind::Untrue);

    // And with a policy file alone.
    let policy = world.path("policy.txt");
    let printed_policy = printed(|out| run(&arguments::<Args>(&["policy"]), &offline, out));
    keep(&policy, &printed_policy);
    assert!(printed_policy.ends_with("group quorum 1 witness.test\nquorum quorum\n"), "{printed_policy}");
    let by_policy = [&check[..], &["--policy", policy.to_str().unwrap()]].concat();
    offline.dir = world.path("nowhere");
    let text = printed(|out| run(&arguments::<Args>(&by_policy), &offline, out));
    assert!(text.contains("cosigned by witness.test at 20") && text.contains("was not checked"), "{text}");
    let json = World::json(&offline);
    let text = printed(|out| run(&arguments::<Args>(&by_policy), &json, out));
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["index"].to_string(), approval);

    // Another quorum, another entry, another file.
    keep(
        &policy,
        printed_policy.replace("group quorum 1", "group quorum all").replace("witness.test+", "witness.other+"),
    );
    let fault = ran(|out| run(&arguments::<Args>(&by_policy), &offline, out)).1.unwrap_err();
    assert_eq!(fault.kind(), Kind::Input, "a key of another name has another id");
    keep(&policy, &printed_policy);
    let text = std::fs::read_to_string(&entry).unwrap();
    keep(&entry, text.replacen("\"sig\":\"A", "\"sig\":\"B", 1).replacen("\"sig\":\"U", "\"sig\":\"V", 1));
    let fault = ran(|out| run(&arguments::<Args>(&by_policy), &offline, out)).1.unwrap_err();
    assert_eq!(
        (fault.kind(), fault.message().as_str()),
        (Kind::Untrue, "the proof does not lead from this entry to the checkpoint: the proof leads to another root")
    );
    keep(&proof, "rubbish");
    assert_eq!(ran(|out| run(&arguments::<Args>(&by_policy), &offline, out)).1.unwrap_err().kind(), Kind::Input);
    let beyond: Args = arguments(&words(&["write", "900", "--out"], &[&proof]));
    assert!(ran(|out| run(&beyond, &world.common, out)).1.unwrap_err().message().ends_with("900 is beyond them"));
}
