//! The scripts there are.

/// A script with its expected output.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// Its name, that of its file without the extension.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

macro_rules! scripts {
    ($($name:literal),* $(,)?) => {
        /// All scripts.
        pub const SCRIPTS: &[Script] =
            &[$(Script { name: $name, text: include_str!(concat!("text/", $name, ".txt")) }),*];
    };
}

scripts!(
    "crash",
    "deletes",
    "external_origin",
    "failing_commits",
    "failing_message",
    "held_details",
    "ids",
    "message_targets",
    "messages",
    "metadata_contents",
    "metadata_snapshot",
    "names",
    "open_counts",
    "out_of_space",
    "pool_grows",
    "pool_lifecycle",
    "pool_read_only",
    "pool_table_errors",
    "slots",
    "snapshots",
    "striped",
    "suspend_commits",
    "suspend_resume",
    "suspended_pool",
    "table_errors",
    "thin_read_only",
    "thin_reload",
    "thin_table_errors",
    "too_small",
    "transaction_ids",
    "two_pools",
    "zeroing",
);
