//! From a push to production, and its upgrade under traffic.

use crate::{
    installation::{Installation, SHORT},
    traffic::Traffic,
    wait::wait_for,
};

#[test]
fn root_a_release_goes_live_and_is_upgraded_under_traffic() {
    let it = Installation::start();
    it.first_release();

    let traffic = Traffic::start(it.exposed);
    it.replace("counter.sh", "# Keeps", "# The second version. Keeps");
    it.push("Second release");
    it.approve("visits-000002");
    let end = it.wait_end("visits-000002");
    let seen = traffic.stop();

    assert!(seen.failed.is_empty(), "{end}: {} kept, and {:#?}", seen.kept.len(), seen.failed);
    assert_eq!(end, "live");
    assert!(seen.kept.len() > 20, "only {} visits", seen.kept.len());
    let kept = it.kept();
    for name in &seen.kept {
        assert_eq!(kept.get(name), Some(&1), "{name} was acknowledged");
    }
    assert_eq!(it.visit("visit-last"), ["visits-000002", "visits-000002"]);
    let milestones = it.milestones("visits-000002");
    assert_eq!(milestones.iter().filter(|m| *m == "live").count(), 1, "{milestones:?}");
    for what in ["begun", "healthy", "switched", "watched", "live"] {
        assert!(milestones.iter().any(|m| m == what), "no {what}: {milestones:?}");
    }
    wait_for(
        "the old version is gone",
        SHORT,
        || it.story(),
        || {
            let status = it.status()?;
            let instances = status["agent"]["visits in production"]["instances"].as_array()?.clone();
            (instances.len() == 2 && instances.iter().all(|i| i["serial"] == "visits-000002")).then_some(())
        },
    );
}
