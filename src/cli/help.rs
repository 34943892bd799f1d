//! Help that several commands share.

/// The examples of a changing verb, followed by the JSON form that all changing verbs answer in.
macro_rules! changing {
    ($examples:literal) => {
        concat!(
            "Examples:\n  ",
            $examples,
            "\n\nJSON:\n",
            "  {\"executed\": false with --dry-run,\n",
            "   \"transactions\": [one for each volume group:\n",
            "     {\"vg\", \"done\": [{\"asked\", \"volume\", \"path\", \"what\"}], \"recovered\": [text],\n",
            "      \"commits\": of metadata, \"ioctls\": {name: number}, \"frozen_us\": microseconds or null,\n",
            "      \"plan\": with --dry-run}],\n",
            "   \"notes\": [text], \"warnings\": [text]}"
        )
    };
}

pub(crate) use changing;
