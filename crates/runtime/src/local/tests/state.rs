//! Volumes that only one may have, restore points, and restores.

use std::{fs, os::unix::fs::MetadataExt as _};

use rollout::{instance::InstanceSpec, step::Step};

use super::fixture::*;
use crate::local::Keep;

/// Writes its version into its volume and waits.
fn keeper(world: &World, ordinal: u64) -> InstanceSpec {
    let text = "echo $COUNTERSIGN_SERIAL >>/data/book && exec httpd -f -p 8080 -h /www";
    let mut keeper = script("ledger", world.busybox(&[]), text);
    keeper.volumes.push(volume("/data", true));
    spec(&keeper, ordinal, 1)
}

fn save(spec: &InstanceSpec) -> Step {
    Step::SaveRestorePoint {
        environment: spec.id.environment.clone(),
        component: spec.id.component.clone(),
        before: spec.id.serial.clone(),
    }
}

fn restore(spec: &InstanceSpec) -> Step {
    Step::Restore {
        environment: spec.id.environment.clone(),
        component: spec.id.component.clone(),
        before: spec.id.serial.clone(),
    }
}

#[test]
fn root_an_exclusive_volume_has_one_instance_at_a_time() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let (old, new) = (keeper(&world, 1), keeper(&world, 2));
    do_step(&mut local, &start(&old));
    wait_healthy(&mut local, &old.id);
    let why = "has a volume that only one instance may have, and `production.paydesk-000001.ledger.1` has it: stop that one first";
    assert!(refused(&mut local, &start(&new)).contains(why));
    // Also when only the older one says so.
    let mut shared = keeper(&world, 2);
    shared.component.volumes[0].exclusive = false;
    assert!(refused(&mut local, &start(&shared)).contains(why));
    drop(local);
    let mut local = world.open();
    assert!(refused(&mut local, &start(&new)).contains(why));
    do_step(&mut local, &Step::Stop(old.id.clone()));
    do_step(&mut local, &start(&new));
    wait_healthy(&mut local, &new.id);
    let book = world.config.volumes_dir.join("production/paydesk/ledger/data/book");
    assert_eq!(fs::read_to_string(&book).unwrap(), "paydesk-000001\npaydesk-000002\n");
    let owner = fs::metadata(&book).unwrap();
    assert_eq!((owner.uid(), owner.gid(), owner.mode() & 0o777), (300_000, 300_000, 0o600));
    do_step(&mut local, &Step::Delete(old.id));
    // What is shared is shared.
    for number in [1, 2] {
        let mut many = component("web", world.busybox(&[]), &[]);
        many.volumes.push(volume("/data", false));
        do_step(&mut local, &start(&spec(&many, 1, number)));
    }
}

#[test]
fn root_a_restore_point_is_of_the_latest_attempt_and_put_back_while_nobody_writes() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let (old, new) = (keeper(&world, 1), keeper(&world, 2));
    assert!(
        refused(&mut local, &restore(&new))
            .contains("there is no restore point of `ledger` in `production` before `paydesk-000002`")
    );
    do_step(&mut local, &start(&old));
    wait_healthy(&mut local, &old.id);
    assert!(
        refused(&mut local, &save(&new))
            .contains("can not be copied while `production.paydesk-000001.ledger.1` may write to them: stop it first")
    );
    do_step(&mut local, &Step::Stop(old.id.clone()));
    do_step(&mut local, &save(&new));
    let points = observed(&mut local).restore_points;
    assert_eq!(points.len(), 1);
    assert_eq!((&points[0].component, &points[0].before), (&new.id.component, &new.id.serial));
    do_step(&mut local, &start(&new));
    wait_healthy(&mut local, &new.id);
    assert!(
        refused(&mut local, &restore(&new))
            .contains("can not be put back while `production.paydesk-000002.ledger.1` may write to them")
    );
    end(&mut local, &new.id);
    let system = world.config.volumes_dir.join("production/paydesk");
    let book = || fs::read_to_string(system.join("ledger/data/book")).unwrap();
    assert_eq!(book(), "paydesk-000001\npaydesk-000002\n");
    for _ in 0..2 {
        do_step(&mut local, &restore(&new));
        assert_eq!(book(), "paydesk-000001\n");
    }
    assert_eq!(
        fs::read_to_string(system.join(".replaced/ledger.000001/data/book")).unwrap(),
        "paydesk-000001\npaydesk-000002\n"
    );
    assert_eq!(fs::metadata(system.join("ledger/data/book")).unwrap().uid(), 300_000);
    // The old version goes on from there.
    do_step(&mut local, &Step::Delete(old.id.clone()));
    do_step(&mut local, &start(&old));
    wait_healthy(&mut local, &old.id);
    assert_eq!(book(), "paydesk-000001\npaydesk-000001\n");
    end(&mut local, &old.id);
    // A second attempt of the same version takes what is there now: what was written since the first stays.
    do_step(&mut local, &save(&new));
    assert_eq!(observed(&mut local).restore_points.len(), 1);
    do_step(&mut local, &start(&new));
    wait_healthy(&mut local, &new.id);
    end(&mut local, &new.id);
    do_step(&mut local, &restore(&new));
    assert_eq!(book(), "paydesk-000001\npaydesk-000001\n");
    // Replaced states are bounded.
    for _ in 0..6 {
        do_step(&mut local, &restore(&new));
    }
    assert_eq!(fs::read_dir(system.join(".replaced")).unwrap().count(), 4);
}

#[test]
fn root_a_component_that_has_ended_by_itself_does_not_hold_its_volume() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let mut short = script("ledger", world.busybox(&[]), "echo x >/data/book");
    short.volumes.push(volume("/data", true));
    let first = spec(&short, 1, 1);
    do_step(&mut local, &start(&first));
    assert_eq!(wait_exit(&mut local, &first.id), (0, false));
    do_step(&mut local, &save(&keeper(&world, 2)));
    do_step(&mut local, &start(&keeper(&world, 2)));
}

#[test]
fn root_purging_may_keep_what_components_have_written() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let old = keeper(&world, 1);
    do_step(&mut local, &save(&old));
    do_step(&mut local, &start(&old));
    wait_healthy(&mut local, &old.id);
    local.purge(Keep::Volumes).unwrap();
    local.purge(Keep::Volumes).unwrap();
    assert_eq!(observed(&mut local).instances, []);
    assert_eq!(observed(&mut local).restore_points.len(), 1);
    assert!(world.config.volumes_dir.join("production/paydesk/ledger/data/book").is_file());
    do_step(&mut local, &start(&old));
    wait_healthy(&mut local, &old.id);
    local.purge(Keep::Nothing).unwrap();
    assert!(!world.config.volumes_dir.exists() && !world.config.restore_dir.exists());
    // It is as good as new.
    do_step(&mut local, &start(&old));
    wait_healthy(&mut local, &old.id);
}
