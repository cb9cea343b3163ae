//! How much room a restore takes on the server that is reset.

/// What must stay free beside the restored database, bytes.
const SPARE: u64 = 100 * 1024 * 1024;
/// etcd's write-ahead log: two segments, which it takes whole.
const LOG: u64 = 128 * 1024 * 1024;
/// How much smaller a `.zip` may be than the database in it, by rule of thumb: objects of text shrink to a fifth or
/// less, free pages to next to nothing.
const UNZIPPED: u64 = 10;

/// Bytes wanted for a snapshot of this name and size. k3s unzips it beside the database and writes the new database
/// from that; the third is for its growth while all nodes come back. The old one is renamed to `etcd-old-…`, which takes
/// no more than it has.
pub(super) fn wanted(path: &str, size: u64) -> u64 {
    let database = match path.strip_suffix(".zip") {
        Some(_) => size.saturating_mul(UNZIPPED),
        None => size,
    };
    database.saturating_mul(3).saturating_add(LOG + SPARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_snapshot_wants_room_for_the_database_in_it() {
        const MIB: u64 = 1024 * 1024;
        assert_eq!(wanted("/snapshots/a-n-1", 100 * MIB), 528 * MIB);
        assert_eq!(wanted("/snapshots/a-n-1.zip", 100 * MIB), 3228 * MIB);
        assert_eq!(wanted("a.zip", u64::MAX), u64::MAX);
    }
}
