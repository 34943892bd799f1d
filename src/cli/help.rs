//! Help that several commands share.

/// The examples of a changing verb, followed by the JSON form that all changing verbs answer in, with more in it if
/// given. One whose requests are lines says of which line each result is, and which lines were left out.
macro_rules! changing {
    ($examples:literal) => {
        crate::help::changing!($examples, "", "")
    };
    ($examples:literal, by line) => {
        crate::help::changing!(
            $examples,
            ", \"line\": number",
            "\"failed\"?: [{\"line\": number, \"message\", \"causes\": [text], \"hint\": text or null,
     \"code\": number}] (lines that were left out),\n   "
        )
    };
    ($examples:literal, $more:literal) => {
        crate::help::changing!($examples, "", $more)
    };
    ($examples:literal, $line:literal, $more:literal) => {
        concat!(
            "Examples:\n  ",
            $examples,
            "\n\nJSON:\n",
            "  {\"executed\": boolean (false with --dry-run),\n",
            "   \"transactions\": [(one for each volume group)\n",
            "     {\"vg\", \"done\": [{\"display_name\", \"volume\", \"path\"",
            $line,
            ",\n        \"snapshot\"? (that goes with its volume),\n",
            "        \"result\": \"created\" or \"removed\" or \"resized\" or \"renamed\" or \"modified\" or\n",
            "          \"rolled_back\" or \"activated\" or \"deactivated\" or \"discarded\" or \"zeroed\" or\n",
            "          \"skipped\" (not to be activated) or \"unchanged\" or \"pool_created\" or \"pool_grown\" or\n",
            "          \"pool_set\" or \"checked\",\n",
            "        \"already\"?: text or {\"size\": number} or\n",
            "          {\"pool_size\": {\"data\": number, \"metadata\": number}} (what is as asked, if unchanged),\n",
            "        \"origin\"? (what a created one is made from),\n",
            "        \"size\"?: number (bytes, after a rollback or of a new pool),\n",
            "        \"metadata_size\"?: number, \"chunk_size\"?: number (of a new pool),\n",
            "        \"part\"?: \"data\" or \"metadata\" (what of a pool has grown),\n",
            "        \"discards\"?: text, \"zero\"?: boolean, \"error_when_full\"?: boolean (what was set),\n",
            "        \"rules\"?: [{\"set\": object} or {\"clear\": text}] (what was set),\n",
            "        \"from\"?: number (bytes) or text (a name), \"to\"?: number (bytes) or text (a snapshot)}],\n",
            "      \"left\"?: [text] (asked for and not done), \"recovered\": [text],\n",
            "      \"commits\": number (of metadata), \"ioctls\": {text: number},\n",
            "      \"suspended_us\": number (microseconds) or null, \"plan\"?: object (with --dry-run)}],\n   ",
            $more,
            "\"notes\": [text], \"warnings\": [text]}"
        )
    };
}

pub(crate) use changing;

/// What `--json` shows of an iSCSI session.
macro_rules! iscsi_session {
    () => {
        "\"session\": number, \"target\", \"portal\", \"interface\": text or null, \"connected_to\": text or null,
     \"state\", \"owner\": \"thinvol\" or \"other\", \"portal_group\": number or null, \"initiator\",
     \"header_digest\": boolean, \"data_digest\": boolean,
     \"timeouts\": {\"replacement\": number (seconds; -1 is never) or null, \"abort\": number or null,
       \"lun_reset\": number or null, \"target_reset\": number or null, \"ping_interval\": number or null,
       \"ping\": number or null},
     \"luns\": [{\"lun\": number, \"address\" (host:channel:target:lun), \"state\", \"wwid\": text or null,
       \"device\": text or null, \"size\": number (bytes) or null, \"by_id\": [text], \"by_path\": [text]}]"
    };
}

/// What `--json` shows of the changes of an iSCSI session's LUNs.
macro_rules! lun_changes {
    () => {
        "\"changes\": [{\"change\": \"added\" or \"resized\" or \"removed\" or \"replaced\" or \"gone_in_use\",
       \"lun\": number, \"from\"?: number (bytes), \"to\"?: number (bytes), \"disk\"?,
       \"holders\"?: [object (who uses it)]}],
     "
    };
}

/// What `--json` shows of what is missing of an iSCSI session.
macro_rules! missing_of_session {
    () => {
        "\"missing\": [{\"lun\": number or null, \"error\": {\"message\", \"causes\": [text],
       \"hint\": text or null, \"code\": number, \"recovered\"?: [text], \"warnings\"?: [text]}}],
     "
    };
}

pub(crate) use iscsi_session;
pub(crate) use lun_changes;
pub(crate) use missing_of_session;
