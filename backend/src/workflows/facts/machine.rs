//! Which machines a run means, and how they are reached: an approval is for these and no others.
//!
//! No step changes that, so it binds however far a run is: the subject of these facts is no step's target.

use coxswain_engine::plan::Plan;
use coxswain_wire::{Enrolment, Fact, Host, HostId};
use futures::future::join_all;

use super::{fail, pass, warn};
use crate::steps::services::ClusterBook;

/// One fact for each host that a plan works on or asks, whatever the workflow looks at besides.
pub(in crate::workflows) async fn facts(book: &dyn ClusterBook, plan: &Plan) -> Vec<Fact> {
    let hosts = plan.hosts();
    join_all(hosts.into_iter().map(|id| of_host(book, id))).await
}

/// No host and no cluster has such a name.
const SUBJECT: &str = "SSH";

async fn of_host(book: &dyn ClusterBook, id: HostId) -> Fact {
    let name = format!("host {id}");
    match book.host(id).await {
        Ok(Some(host)) => known(&host),
        Ok(None) => fail(
            SUBJECT,
            &name,
            "is no longer in the inventory",
            "This run needs a host that was removed: reject it and start a new one.",
        ),
        Err(error) => fail(
            SUBJECT,
            &name,
            error.to_string(),
            "The panel cannot read its inventory; see its log.",
        ),
    }
}

fn known(host: &Host) -> Fact {
    let Host {
        id: _,
        name,
        ssh_address,
        ssh_port,
        ssh_user,
        node_address: _,
        credential: _,
        enrolment,
        cluster: _,
        last_test: _,
        unclean: _,
        power: _,
    } = host;
    let at = if ssh_address.contains(':') {
        format!("{ssh_user}@[{ssh_address}]:{ssh_port}")
    } else {
        format!("{ssh_user}@{ssh_address}:{ssh_port}")
    };
    match enrolment {
        Enrolment::Unconfirmed => warn(
            SUBJECT,
            name,
            format!("{at}, host keys not confirmed: the panel does not sign in there"),
            "Confirm the host's keys on its page.",
        ),
        Enrolment::Pinned {
            keys,
            confirmed_at: _,
        } => {
            let mut keys: Vec<&str> = keys.iter().map(|k| k.fingerprint.as_str()).collect();
            keys.sort_unstable();
            pass(SUBJECT, name, format!("{at}, host key {}", keys.join(", ")))
        }
    }
}
