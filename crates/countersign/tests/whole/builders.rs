//! Two builders in different hands: nothing goes before both made the same, each from the sources by itself.

use std::{fs, process::Command};

use crate::{
    host::Host,
    installation::{Installation, LONG, run},
    wait::wait_for,
};

const FIRST: &str = "visits-000001";

#[test]
fn root_what_two_builders_on_two_hosts_make_is_the_same_and_one_is_not_enough() {
    let it = Installation::make_edited(|it, text| {
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(it.path("second")));
        let builder = "builder = { role = \"builder\", controllers = [\"olga\"], host = \"main\" }\n";
        let production = "[[environments]]\nname = \"production\"\n";
        assert!(text.contains(builder) && text.contains(production), "{text}");
        let other =
            "other = { role = \"builder\", controllers = [\"sam\"], host = \"second\", key = \"second.pub\" }\n";
        let sam = "[people.sam]\nkeys = [\"eve.pub\"]\nemails = [\"sam@example.org\"]\nroles = [\"operator\"]\n";
        text.replace(builder, &format!("{builder}{other}"))
            .replace("[robots]", &format!("{sam}[robots]"))
            .replace("[hosts.main]", "[hosts.second]\nadministrators = [\"sam\"]\n[hosts.main]")
            .replace(production, &format!("{production}builders = 2\n"))
    });
    it.up();
    it.push("First release");
    let proposal = it.approve(FIRST).to_string();
    let why = || it.ok(&["why", &proposal]);
    assert!(why().contains("builders-agree"), "{}", why());
    assert!(it.milestones(FIRST).is_empty(), "{}", it.story());

    // The other one has its own key, its own folder of images, and reads the log through the first host's front.
    let host = Host::join(&it, "builder");
    wait_for(
        &format!("{FIRST} is live"),
        LONG,
        || it.story() + &host.story(),
        || it.milestones(FIRST).iter().any(|what| what == "live").then_some(()),
    );
    let builds = it.claims("build");
    assert_eq!(builds.len(), 2, "{builds:?}");
    let [(_, one), (_, other)] = [&builds[0], &builds[1]];
    for same in ["change", "serial", "release", "images"] {
        assert_eq!(one[same], other[same], "{same}");
    }
    let document = one["release"].as_str().unwrap().replace("sha256:", "");
    let blobs = "images/blobs/sha256";
    assert!(!it.dir().join("images").is_symlink() && fs::exists(host.dir().join(blobs).join(&document)).unwrap());
    // It noticed nothing and proposed nothing.
    assert_eq!((it.claims("change").len(), it.claims("proposal").len()), (1, 1));
    it.ok(&["audit"]);
}
