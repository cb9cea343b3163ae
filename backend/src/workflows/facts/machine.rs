//! Which machines a run means: an approval is for these and no others.

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

const NAME: &str = "SSH";

async fn of_host(book: &dyn ClusterBook, id: HostId) -> Fact {
    let subject = format!("host {id}");
    match book.host(id).await {
        Ok(Some(host)) => known(&host),
        Ok(None) => fail(
            &subject,
            NAME,
            "is no longer in the inventory",
            "This run needs a host that was removed: reject it and start a new one.",
        ),
        Err(error) => fail(
            &subject,
            NAME,
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
            name,
            NAME,
            format!("{at}, host keys not confirmed: the panel does not sign in there"),
            "Confirm the host's keys on its page.",
        ),
        Enrolment::Pinned {
            keys,
            confirmed_at: _,
        } => {
            let mut keys: Vec<&str> = keys.iter().map(|k| k.fingerprint.as_str()).collect();
            keys.sort_unstable();
            pass(name, NAME, format!("{at}, host key {}", keys.join(", ")))
        }
    }
}
