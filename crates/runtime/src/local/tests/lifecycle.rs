//! From start to deletion, each step done twice.

use rollout::{instance::InstanceState, step::Step};

use super::fixture::*;

#[test]
fn root_an_instance_starts_is_well_stops_and_is_deleted_with_every_step_done_twice() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let image = world.busybox(&[]);
    let spec = spec(&component("web", image, &[]), 42, 1);
    do_step(&mut local, &start(&spec));
    do_step(&mut local, &start(&spec));
    assert_eq!(observed(&mut local).instances.len(), 1);
    wait_healthy(&mut local, &spec.id);
    let instance = seen(&mut local, &spec.id).unwrap();
    assert_eq!((instance.image, instance.release, instance.address.port()), (image, spec.release, 8080));
    do_step(&mut local, &Step::Stop(spec.id.clone()));
    let stopped = seen(&mut local, &spec.id).unwrap();
    do_step(&mut local, &Step::Stop(spec.id.clone()));
    assert_eq!(seen(&mut local, &spec.id).unwrap(), stopped);
    assert!(matches!(stopped.state, InstanceState::Exited { code: 137, out_of_memory: false, .. }), "{stopped:?}");
    do_step(&mut local, &Step::Delete(spec.id.clone()));
    do_step(&mut local, &Step::Delete(spec.id.clone()));
    assert_eq!(observed(&mut local).instances, []);
    local.purge(crate::local::Keep::Nothing).unwrap();
    drop(local);
    assert_eq!(left_on_host(&world), Vec::<String>::new());
}
