//! Requests in few words, and the machines that they are made on.

use base::units::Sectors;
use thin::changes::NewSize;
use thin::internals::pool_rules::{Rule, RuleChange};
use thin::internals::request::{
    Attributes, GrowPool, NewPool, RemovePool, RepairPool, Request, SetPool, Space,
};

use super::lines::{Lines, Work};
use super::machine::Machine;
use super::text::{POOL, POOL_2};
use super::{World, lv};

/// The size of test volumes in sectors: 8 MiB.
pub const SIZE: Sectors = Sectors::new(16_384);

/// The size of an extent.
const EXTENT: Sectors = Sectors::new(super::text::EXTENT);

/// A new volume.
pub fn create(name: &str, activate: bool) -> Request {
    create_in(POOL, name, SIZE, activate)
}

/// A new volume of that size in that pool.
pub fn create_in(pool: &str, name: &str, size: Sectors, activate: bool) -> Request {
    Request::Create { pool: lv(pool), name: lv(name), size, tags: Vec::new(), activate, autoactivate: true }
}

/// A snapshot, inactive and with LVM's skip flag, as Proxmox and lvm2 make them.
pub fn snapshot(origin: &str, name: &str) -> Request {
    Request::Snapshot {
        origin: lv(origin),
        name: lv(name),
        read_only: true,
        skip_activation: true,
        tags: Vec::new(),
        activate: false,
        autoactivate: true,
        freeze: true,
    }
}

/// A writable, active copy.
pub fn clone(origin: &str, name: &str) -> Request {
    Request::Snapshot {
        origin: lv(origin),
        name: lv(name),
        read_only: false,
        skip_activation: false,
        tags: Vec::new(),
        activate: true,
        autoactivate: true,
        freeze: true,
    }
}

/// A removal.
pub fn remove(name: &str) -> Request {
    Request::Remove { name: lv(name) }
}

/// A discard of what is removed.
pub fn discard(name: &str) -> Request {
    Request::Discard { name: lv(name) }
}

/// Zeros for what is created.
pub fn zero(name: &str) -> Request {
    Request::Zero { name: lv(name) }
}

/// A size for a volume in extents of 4 MiB; fewer than it has only with `shrink`.
pub fn resize(name: &str, extents: u64, shrink: bool) -> Request {
    let size = NewSize::To(Sectors::new(extents * EXTENT.get()));
    Request::Resize { name: lv(name), size, shrink }
}

/// Another name.
pub fn rename(name: &str, to: &str) -> Request {
    Request::Rename { name: lv(name), to: lv(to) }
}

/// A rollback.
pub fn roll_back(name: &str, to: &str) -> Request {
    Request::Rollback { name: lv(name), to: lv(to) }
}

/// What a template is made with, besides its name: read-only, left alone by activation, tagged.
pub fn modify(name: &str, read_only: bool) -> Request {
    let attributes = Attributes {
        read_only: Some(read_only),
        skip_activation: Some(read_only),
        autoactivate: Some(!read_only),
        add_tags: vec!["of-test".into()],
        remove_tags: Vec::new(),
    };
    Request::Modify { name: lv(name), attributes }
}

/// More extents of data and of metadata for the pool.
pub fn grow_pool(data: u64, metadata: u64) -> Request {
    let space = |extents: u64| (extents > 0).then(|| Space::By(Sectors::new(extents * EXTENT.get())));
    Request::GrowPool(GrowPool {
        pool: lv(POOL),
        data: space(data),
        metadata: space(metadata),
        on: Vec::new(),
    })
}

/// A new pool of that many extents.
pub fn create_pool(name: &str, data: u64, activate: bool) -> Request {
    Request::CreatePool(NewPool {
        name: lv(name),
        data: Space::To(Sectors::new(data * EXTENT.get())),
        metadata: None,
        chunk: None,
        stripes: 1,
        stripe_size: None,
        discards: None,
        zero: None,
        error_when_full: None,
        on: Vec::new(),
        activate,
    })
}

/// The pool and everything in it goes.
pub fn remove_pool() -> Request {
    Request::RemovePool(RemovePool { pool: lv(POOL), with_volumes: true })
}

/// The check of a stopped pool.
pub fn check_pool() -> Request {
    Request::CheckPool { pool: lv(POOL), clear_mark: false }
}

/// A repair of the stopped pool's metadata, damaged or not.
pub fn repair_pool() -> Request {
    Request::RepairPool(RepairPool { pool: lv(POOL), force: true, on: Vec::new() })
}

/// A pool that does not zero chunks, and fails writes when it is full.
pub fn set_pool() -> Request {
    Request::SetPool(SetPool {
        pool: lv(POOL),
        discards: None,
        zero: Some(false),
        error_when_full: Some(true),
        rules: vec![RuleChange::Set(Rule::ExtendAt(70))],
    })
}

/// An activation.
pub fn activate(name: &str) -> Request {
    Request::Activate { name: lv(name), ignore_skip: false }
}

/// An activation whatever the flag says.
pub fn activate_anyway(name: &str) -> Request {
    Request::Activate { name: lv(name), ignore_skip: true }
}

/// A deactivation.
pub fn deactivate(name: &str) -> Request {
    Request::Deactivate { name: lv(name) }
}

/// The sectors that tests write and read: two of one chunk, one of another.
pub const SECTORS: [u64; 3] = [0, 5, 300];

/// What a machine looks like before a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Start {
    /// A pool that never held a volume, stopped.
    Fresh,
    /// The same, running as lvm2 runs it.
    FreshRunning,
    /// A pool with `a` (active), `b` (inactive) and `s`, a snapshot of `a` (inactive), all with data.
    Used,
    /// The same after a boot at which nothing was activated.
    Stopped,
    /// As [`Start::Used`], with a second pool that holds `c` (active) and `d` (inactive).
    TwoPools,
    /// As [`Start::Used`], with a second pool that never held a volume and is stopped.
    SecondFresh,
    /// As [`Start::Used`], with guests' volumes `vm-1-d`, its snapshot `s` taken as the command does, and `vm-2-d`.
    Named,
}

impl Start {
    /// The machine, on `pvs` physical volumes.
    ///
    /// # Panics
    /// If the engine cannot get there.
    pub fn world(self, pvs: usize) -> World {
        let world = match self {
            Self::TwoPools | Self::SecondFresh => World::on(Machine::with_two_pools(pvs)),
            _ => World::new(pvs),
        };
        let run = |requests: &[Request]| {
            if let Err(error) = world.run(requests) {
                panic!("{requests:?}: {}", base::error_chain::in_words(&error));
            }
        };
        match self {
            Self::Fresh => {}
            Self::FreshRunning => run(&[activate(POOL)]),
            _ => {
                run(&[create("a", true), create("b", true)]);
                world.write("a", SECTORS[0], 1);
                world.write("a", SECTORS[2], 2);
                world.write("b", SECTORS[1], 3);
                run(&[snapshot("a", "s")]);
                world.write("a", SECTORS[1], 4);
                run(&[deactivate("b")]);
            }
        }
        if self == Self::Named {
            run(&[create("vm-1-d", true), create("vm-2-d", true)]);
            world.write("vm-1-d", SECTORS[0], 6);
            let taken = Lines(vec![r#"{"request":"snapshot","snapshot":"pve/vm-1-d@s"}"#]).run(&world);
            taken.unwrap_or_else(|error| panic!("{}", base::error_chain::in_words(&error)));
        }
        if self == Self::TwoPools {
            run(&[create_in(POOL_2, "c", SIZE, true), create_in(POOL_2, "d", SIZE, false)]);
            world.write("c", SECTORS[0], 5);
        }
        let machine = if self == Self::Stopped { world.machine.rebooted() } else { world.machine };
        machine.kernel.clear_log();
        World::on(machine)
    }
}
