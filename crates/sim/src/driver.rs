//! A driver that does its steps on a simulated host, and the ways in which one step can go wrong.

use std::{cell::RefCell, rc::Rc};

use rollout::{
    instance::{Observed, RestorePoint},
    plan::describe,
    step::Step,
};
use runtime::driver::{Driver, DriverError};

use crate::world::World;

/// How one step goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not done, and that is said.
    Failed,
    /// It is done, and the opposite is said.
    DoneButFailed,
    /// It is not done, and the opposite is said. Putting a volume back is the one step that can not be seen, so for it
    /// the executor's word is all there is, and this is [`Fault::Failed`].
    Lost,
    /// It is done twice.
    Twice,
}

/// All of them.
pub const FAULTS: [Fault; 4] = [Fault::Failed, Fault::DoneButFailed, Fault::Lost, Fault::Twice];

/// Executes steps on a shared [`World`].
#[derive(Debug)]
pub struct FakeDriver {
    world: Rc<RefCell<World>>,
    done: u64,
    /// The step, counted from 0, that goes wrong, how, and how many of those after it do too.
    pub fault: Option<(u64, Fault, u64)>,
}

impl FakeDriver {
    /// A driver of this host.
    pub const fn new(world: Rc<RefCell<World>>) -> Self {
        Self { world, done: 0, fault: None }
    }

    /// How many steps it was asked to do.
    pub const fn steps(&self) -> u64 {
        self.done
    }

    fn apply(&self, step: &Step) -> Result<(), DriverError> {
        let mut world = self.world.borrow_mut();
        let done = match step {
            Step::Start(spec) => world.start(spec),
            Step::Drain(id) => world.tell_drain(id),
            Step::Stop(id) => {
                world.stop(id);
                Ok(())
            }
            Step::Delete(id) => world.delete(id),
            Step::SaveRestorePoint { environment, component, before } => {
                let at = world.now();
                let (environment, component, before) = (environment.clone(), component.clone(), before.clone());
                world.save(RestorePoint { environment, component, before, at });
                Ok(())
            }
            Step::Restore { component, before, .. } => world.restore(component, before),
            Step::Route(table) => world.route(table),
        };
        done.map_err(DriverError::Refused)
    }
}

impl Driver for FakeDriver {
    fn observe(&mut self) -> Result<Observed, DriverError> {
        Ok(self.world.borrow().observe())
    }

    fn execute(&mut self, step: &Step) -> Result<(), DriverError> {
        let number = self.done;
        self.done += 1;
        let fault = self.fault.filter(|(first, _, more)| (*first..=first.saturating_add(*more)).contains(&number));
        let failed = || DriverError::Refused(format!("{} was made to fail", describe(step)));
        match fault.map(|(_, fault, _)| fault) {
            None => self.apply(step),
            Some(Fault::Failed) => Err(failed()),
            Some(Fault::Lost) if matches!(step, Step::Restore { .. }) => Err(failed()),
            Some(Fault::Lost) => Ok(()),
            Some(Fault::DoneButFailed) => self.apply(step).and(Err(failed())),
            Some(Fault::Twice) => self.apply(step).and_then(|()| self.apply(step)),
        }
    }
}
