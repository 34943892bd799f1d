//! The one door to what is private: for the crates `cli` and `dm-tests` of this workspace, which are built with the
//! same version. Nothing here is stable, and other programs are not meant to use it.

/// Opens modules: each with all that is public in it.
macro_rules! open {
    ($($path:ident $(:: $inner:ident)?;)*) => {
        $(open!(@one $path $($inner)?);)*
    };
    (@one $module:ident) => {
        #[doc = concat!("`", stringify!($module), "`, as it is within the crate.")]
        pub mod $module {
            pub use crate::$module::*;
        }
    };
    (@one $module:ident $inner:ident) => {
        #[doc = concat!("`", stringify!($module), "::", stringify!($inner), "`, as it is within the crate.")]
        pub mod $inner {
            pub use crate::$module::$inner::*;
        }
    };
}

open! {
    backup_store;
    condition;
    engine;
    error;
    lineage;
    making;
    meta;
    metadata_header;
    monitor;
    observe;
    observed;
    plan;
    planner;
    pool_check;
    pool_rules;
    ports;
    refusal;
    request;
    session;
    stack;
    suspended_window;
    transfer;
    view;
    changes::concerns;
    changes::lookup;
    changes::lower;
    changes::size;
}
