//! Changes of pools themselves: one is made, extended, configured or removed. Each is a transaction of its own.

mod configure;
mod create;
mod extend;
mod remove;
mod repair;
mod words;

pub use self::configure::ConfigurePool;
pub use self::create::CreatePool;
pub use self::extend::ExtendPool;
pub use self::remove::DeletePool;
pub use self::repair::MendPool;
pub use self::words::{DiscardsWord, WhenFull, WrittenRule};
