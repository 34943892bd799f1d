//! Every state that a crash of a change can leave, what thinvol makes of each, what lvm2 makes of each, and every state
//! that a crash of the recovery can leave in turn.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use ::lvm2::format::model::Lv;
use base::ids::{LvName, LvmUuid, ThinId};
use dm::kernel::Verb;
use dm::sim::{Crash, SimKernel};
use sys::io::mem::crash::{crash_images, is_sampled, seed};
use sys::io::mem::disk::MemDisk;
use sys::io::mem::image::Image;
use thin::Report;
use thin::internals::request::Request;

use super::asks::{SIZE, create_in};
use super::host::{HostState, resume_all};
use super::lines::Work;
use super::machine::Machine;
use super::recovered::Recovered;
use super::rest::{
    Contents, Expect, active, at_rest, at_rest_but, contents, devices_match, ground, no_layer_alone,
    unharmed, volumes,
};
use super::tape::Point;
use super::{World, lvm2, state};
use base::error_chain::in_words;

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Instants at which a process could be killed or the machine could stop.
    pub points: usize,
    /// Combinations of an instant and a content of the disks.
    pub images: usize,
    /// Instants of those at which the disks could hold more than all were shown of: samples were drawn.
    pub sampled: usize,
    /// Distinct states among them; each was recovered, changed, and given to lvm2.
    pub states: usize,
    /// States that became the old one.
    pub old: usize,
    /// States that became the new one.
    pub new: usize,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.points += other.points;
        self.images += other.images;
        self.sampled += other.sampled;
        self.states += other.states;
        self.old += other.old;
        self.new += other.new;
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { points, images, sampled, states, old, new } = self;
        write!(f, "{points} points, {images} images, {states} distinct states ({old} old, {new} new)")?;
        if *sampled > 0 {
            write!(f, "; images of {sampled} points were drawn (THINVOL_IMAGE_SEED={})", seed())?;
        }
        Ok(())
    }
}

/// One state to look at.
struct Node {
    kernel: SimKernel,
    images: Rc<Vec<Image>>,
    host: HostState,
    uuids: u32,
    /// How it came about.
    how: String,
    depth: usize,
    /// Whether the machine stopped, and with it went the record of what was being made.
    forgot: bool,
}

/// The search.
struct Explorer {
    /// One of the machines, for what all have in common.
    machine: Rc<Machine>,
    old: Expect,
    new: Expect,
    /// The volumes that are active all the time, and those that are at some time.
    active: [BTreeSet<LvmUuid>; 2],
    /// How often in a row recovery is crashed, too.
    limit: usize,
    seen: HashSet<u64>,
    /// States that recovery led to, and that were found in order.
    rested: HashMap<u64, Expect>,
    /// What the volumes hold in states that were looked into.
    read: RefCell<HashMap<u64, Contents>>,
    queue: Vec<Node>,
    /// Where recovery led to, each text and pool once.
    recovered: BTreeMap<String, Recovered>,
    count: Count,
    failures: Vec<String>,
}

/// Crashes one change at every point, and the recovery at every point, and so on `depth` times.
///
/// # Errors
/// The states, and how they came about, that are not as they must be.
pub fn explore<W: Work + ?Sized>(world: &World, work: &W, depth: usize) -> Result<Count, Vec<String>> {
    explored(world, work, depth).map(|explorer| explorer.count)
}

/// The distinct states that recovery leads to from wherever the change crashes, and that the whole change leads to.
///
/// # Errors
/// As [`explore`].
pub fn recovered(world: &World, requests: &[Request]) -> Result<Vec<Recovered>, Vec<String>> {
    explored(world, requests, 0).map(|explorer| explorer.recovered.into_values().collect())
}

fn explored<W: Work + ?Sized>(world: &World, work: &W, depth: usize) -> Result<Explorer, Vec<String>> {
    let one = |why: String| vec![why];
    let run = |world: &World| work.run(world).map_err(|error| vec![in_words(&error)]);
    let old = Expect::of(world).map_err(one)?;
    let mut whole = world.fork();
    whole.record = true;
    run(&whole)?;
    let new = Expect::of(&whole).map_err(one)?;
    devices_match(&whole).and_then(|()| no_layer_alone(&whole)).map_err(one)?;
    let (before, after) = (active(world).map_err(one)?, active(&whole).map_err(one)?);
    let kept = &(&before & &after) - &taken_down(world, &whole);
    let mut explorer = Explorer {
        machine: Rc::clone(&world.machine),
        old,
        new,
        active: [kept, &before | &after],
        limit: depth,
        seen: HashSet::new(),
        rested: HashMap::new(),
        read: RefCell::default(),
        queue: Vec::new(),
        recovered: BTreeMap::new(),
        count: Count::default(),
        failures: Vec::new(),
    };
    explorer.add(&whole.machine, whole.take_points(), ("", false), 0);
    while let Some(node) = explorer.queue.pop() {
        explorer.visit(node);
    }
    if explorer.failures.is_empty() { Ok(explorer) } else { Err(explorer.failures) }
}

/// The volumes whose devices the whole change takes down, if only to make them anew: nobody uses those.
fn taken_down(world: &World, whole: &World) -> BTreeSet<LvmUuid> {
    let log = whole.machine.kernel.log();
    let removed = |lv: &&Lv| {
        let name = super::device(lv.name.as_str());
        log.iter().any(|call| call.verb == Verb::Remove && call.device == name.as_str())
    };
    let [old, new] = [world, whole].map(|world| world.metadata().vg);
    old.lvs.iter().chain(&new.lvs).filter(removed).map(|lv| lv.id).collect()
}

/// Contents of disks, each different from the others, how many there were in all, and whether there are more.
type Images = (usize, Vec<(u64, Rc<Vec<Image>>)>, bool);

fn images_after_crash(disks: &[Arc<MemDisk>], at: usize) -> Images {
    let disks: Vec<&MemDisk> = disks.iter().map(Arc::as_ref).collect();
    let mut exact = HashSet::new();
    let mut distinct = BTreeMap::new();
    let mut total = 0;
    for images in crash_images(&disks, at) {
        total += 1;
        if exact.insert(state::exact_disks(&images)) {
            distinct.entry(state::disks(&images)).or_insert_with(|| Rc::new(images));
        }
    }
    (total, distinct.into_iter().collect(), is_sampled(&disks, at))
}

impl Explorer {
    /// Adds every state that a crash at these points can leave.
    fn add(&mut self, machine: &Machine, points: Vec<Point>, (before, forgot): (&str, bool), depth: usize) {
        let mut crashed: BTreeMap<usize, Images> = BTreeMap::new();
        // What was found suspended has no guard any more.
        let before_it = points.first().map(|point| point.kernel.suspended()).unwrap_or_default();
        for point in points {
            self.count.points += 1;
            let how = |what: &str| format!("{before}{what} after {}", point.after);
            let live = Rc::new(point.images.clone());
            let disks = state::disks(&live);
            let killed = |how: String| Node {
                kernel: point.kernel.clone(),
                images: Rc::clone(&live),
                host: HostState { armed: Vec::new(), counts: false, ..point.host.clone() },
                uuids: point.uuids,
                how,
                depth,
                forgot,
            };
            let guarded = killed(how("killed"));
            resume_all(&guarded.kernel, &point.host.armed);
            let stays = guarded.kernel.suspended();
            if let Some(device) = stays.iter().find(|device| !before_it.contains(device)) {
                self.failures.push(format!("{}: {device} stays suspended", guarded.how));
            }
            self.push(guarded, disks);
            if !point.kernel.suspended().is_empty() {
                self.push(killed(how("killed, and its guard,")), disks);
            }
            let (total, images, sampled) =
                crashed.entry(point.at).or_insert_with(|| images_after_crash(&machine.disks, point.at));
            self.count.sampled += usize::from(*sampled);
            for (crash, what) in [(Crash::LoseUncommitted, "power lost"), (Crash::KeepUncommitted, "reset")] {
                self.count.images += *total;
                let kernel = point.kernel.clone();
                kernel.crash(crash);
                for (disks, images) in images.iter() {
                    let node = Node {
                        kernel: kernel.clone(),
                        images: Rc::clone(images),
                        host: HostState::default(),
                        forgot: true,
                        ..killed(how(what))
                    };
                    self.push(node, *disks);
                }
            }
        }
    }

    fn push(&mut self, node: Node, disks: u64) {
        self.count.images += 1;
        let kernel = state::kernel(&node.kernel, node.images.len());
        let key = [disks, kernel, state::host(&node.host) ^ u64::from(node.forgot)];
        if self.seen.insert(hash(key)) {
            node.kernel.clear_log();
            self.queue.push(node);
        }
    }

    fn visit(&mut self, node: Node) {
        self.count.states += 1;
        let world = World::on(self.machine.from_parts(node.kernel, &node.images, node.host, node.uuids));
        let frozen = !world.machine.kernel.suspended().is_empty();
        let verdict = self.recovers(&world, (&node.how, node.forgot), node.depth).and_then(|expect| {
            // A process killed together with its guard: neither lvm2 nor a change elsewhere in the pool mends that.
            if frozen {
                return Ok(expect);
            }
            if node.depth < 2 {
                self.next_change(&world, &expect, node.forgot)
                    .map_err(|why| format!("at the next change: {why}"))?;
            }
            self.lvm2(&world, &expect).map_err(|why| format!("lvm2: {why}"))?;
            Ok(expect)
        });
        match verdict {
            Ok(expect) if expect == self.old => self.count.old += 1,
            Ok(_) => self.count.new += 1,
            Err(why) => self.failures.push(format!("{}: {why}", node.how)),
        }
    }

    /// What the volumes hold. Nobody writes to them meanwhile, so that states with the same mappings hold the same.
    fn contents(&self, world: &World) -> Result<Contents, String> {
        let key = key_of(world);
        if let Some(known) = self.read.borrow().get(&key) {
            return Ok(known.clone());
        }
        let contents = contents(world)?;
        self.read.borrow_mut().insert(key, contents.clone());
        Ok(contents)
    }

    fn expect_of(&self, world: &World) -> Result<Expect, String> {
        let vg = world.metadata().vg;
        Ok(Expect { volumes: volumes(&vg), contents: self.contents(world)?, ground: ground(&vg) })
    }

    /// Which of the two states the world is in.
    fn which(&self, world: &World) -> Result<Expect, String> {
        let vg = world.metadata().vg;
        let (now, under) = (volumes(&vg), ground(&vg));
        let is_it = |expect: &&Expect| expect.volumes == now && expect.ground == under;
        let expect = [&self.old, &self.new].into_iter().find(is_it);
        let expect =
            expect.ok_or_else(|| format!("neither the old volumes nor the new ones: {:?}", now.keys()))?;
        let contents = self.contents(world)?;
        if contents != expect.contents {
            return Err(format!("the volumes hold {contents:?} instead of {:?}", expect.contents));
        }
        Ok(expect.clone())
    }

    /// Recovery leads to rest, in the old state or the new one; done again it finds nothing.
    ///
    /// Snapshots that a power failure kept the text from naming stay, for nothing tells them from somebody's data any
    /// more: each of them is told, and nothing else.
    fn recovers(
        &mut self,
        world: &World,
        (how, forgot): (&str, bool),
        depth: usize,
    ) -> Result<Expect, String> {
        let mut fork = world.fork();
        fork.record = depth < self.limit;
        let report = fork.recover().map_err(|error| format!("recovery: {}", in_words(&error)))?;
        let points = fork.take_points();
        fork.record = false;
        self.add(&fork.machine, points, (&format!("{how}, then recovery "), forgot), depth + 1);
        unharmed(&fork)?;
        let strangers = rests(&fork, forgot)?;
        all_told(&report, &strangers)?;
        self.same_active(&fork, forgot)?;
        let key = key_of(&fork);
        if let Some(known) = self.rested.get(&key) {
            return Ok(known.clone());
        }
        devices_match(&fork)?;
        let expect = self.which(&fork)?;
        let state = Recovered::of(&fork, how);
        self.recovered.entry(state.key()).or_insert(state);
        let again = fork.recover().map_err(|error| format!("second recovery: {}", in_words(&error)))?;
        if let Some(found) = again.recovered.first() {
            return Err(format!("a second recovery finds something: {found}"));
        }
        self.rested.insert(key, expect.clone());
        Ok(expect)
    }

    /// Recovery neither starts a volume nor stops one. What the killed change had got to of those that it was to start
    /// or stop is as it may be; a machine that stopped has none.
    fn same_active(&self, world: &World, forgot: bool) -> Result<(), String> {
        let [both, either] = &self.active;
        let nothing = BTreeSet::new();
        let (least, most) = if forgot { (&nothing, &nothing) } else { (both, either) };
        let now = active(world)?;
        if least.is_subset(&now) && now.is_subset(most) {
            return Ok(());
        }
        Err(format!("active are {now:?}, not at least {least:?} and at most {most:?}"))
    }

    /// Any change, too, mends its pools first.
    fn next_change(&self, world: &World, expect: &Expect, forgot: bool) -> Result<(), String> {
        let fork = world.fork();
        let vg = fork.metadata().vg;
        let next: Vec<(String, &LvName)> =
            vg.pools().map(|(pool, _)| (format!("next_{}", pool.name), &pool.name)).collect();
        let requests: Vec<Request> =
            next.iter().map(|(name, pool)| create_in(pool.as_str(), name, SIZE, false)).collect();
        fork.run(&requests).map_err(|error| in_words(&error))?;
        rests(&fork, forgot)?;
        let names: Vec<&str> = next.iter().map(|(name, _)| name.as_str()).collect();
        if self.expect_of(&fork)?.without(&names) != *expect {
            return Err("another state than after recovery".into());
        }
        Ok(())
    }

    /// lvm2 goes on, takes over nobody's data, and thinvol goes on after it.
    fn lvm2(&self, world: &World, expect: &Expect) -> Result<(), String> {
        let fork = world.fork();
        if fork.metadata().vg.pools().next().is_none() {
            return Ok(());
        }
        lvm2::creates(&fork)?;
        at_rest_but(&fork)?;
        let after = self.expect_of(&fork)?;
        if after.clone().without(&lvm2::MADE) != *expect {
            return Err("another state than after recovery".into());
        }
        if after.contents[&super::lv(lvm2::MADE[0])].iter().any(|value| *value != 0) {
            return Err("a new volume of lvm2 holds data".into());
        }
        let report = fork.recover().map_err(|error| format!("recovery after it: {}", in_words(&error)))?;
        // What lvm2 leaves of the killed change, nobody can tell from somebody's data: it is told, each time.
        all_told(&report, &at_rest_but(&fork)?.1)?;
        if self.expect_of(&fork)? == after { Ok(()) } else { Err("recovery after it changes volumes".into()) }
    }
}

/// Checks that the world is at rest; returns the devices that belong to no volume, where there may be any.
fn rests(world: &World, forgot: bool) -> Result<BTreeSet<ThinId>, String> {
    if forgot { Ok(at_rest_but(world)?.1) } else { at_rest(world).map(|_| BTreeSet::new()) }
}

/// Checks that recovery tells of each thin device that belongs to no volume, and of nothing else.
fn all_told(report: &Report, strangers: &BTreeSet<ThinId>) -> Result<(), String> {
    let is_told =
        |id: &ThinId| report.warnings.iter().any(|left| left.contains(&format!("thin device {id} (")));
    if report.warnings.len() == strangers.len() && strangers.iter().all(is_told) {
        return Ok(());
    }
    Err(format!("recovery leaves {:?} and {strangers:?} in the pools", report.warnings))
}

fn key_of(world: &World) -> u64 {
    let machine = &world.machine;
    let images = machine.images();
    let kernel = state::kernel(&machine.kernel, images.len());
    hash([state::disks(&images), kernel, state::host(&machine.host.state())])
}

fn hash(key: [u64; 3]) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}
