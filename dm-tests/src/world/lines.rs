//! Changes as a batch writes them: they enter the engine where the command's do, and are lowered there.

use cli::resolve::Resolver;
use cli::transaction::lines;
use thin::changes::Change;
use thin::internals::request::Request;
use thin::{EngineError, Options, Report};

use super::{World, vg_name};

/// Something that can be asked of the engine.
pub trait Work {
    /// Asks it of a world.
    ///
    /// # Errors
    /// As the command would report them.
    fn run(&self, world: &World) -> Result<Report, EngineError>;
}

impl Work for [Request] {
    fn run(&self, world: &World) -> Result<Report, EngineError> {
        world.run(self)
    }
}

impl Work for Vec<Request> {
    fn run(&self, world: &World) -> Result<Report, EngineError> {
        world.run(self)
    }
}

/// Lines of a batch.
#[derive(Clone, Debug)]
pub struct Lines(pub Vec<&'static str>);

impl Lines {
    /// The changes that they ask for.
    ///
    /// # Panics
    /// If a line cannot be read.
    pub fn changes(&self) -> Vec<Change> {
        let read = lines::Lines::read(&self.0.join("\n"), &Resolver::over(""));
        assert!(read.bad.is_empty(), "{:?}", read.bad);
        read.by_vg.into_values().flatten().map(|line| line.change).collect()
    }
}

impl Work for Lines {
    fn run(&self, world: &World) -> Result<Report, EngineError> {
        let changes = self.changes();
        world.process(|engine| engine.apply(&vg_name(), &changes, &Options::default()))
    }
}
