//! Load balancers: whether the section for the API is ours or somebody else's.

use coxswain_k3s::haproxy::{CONFIG_FILE, HaproxyError};
use coxswain_wire::Fact;

use super::host::unreachable;
use super::{Expected, World, fail, pass, warn};

/// Longest haproxy.cfg that is read.
const MAX: usize = 1024 * 1024;

pub(super) async fn facts(world: &dyn World, expected: &Expected) -> Vec<Fact> {
    let mut facts = Vec::new();
    for lb in &expected.load_balancers {
        facts.push(match world.read_file(lb.host, CONFIG_FILE, MAX).await {
            Err(error) => unreachable(&lb.name, &error),
            Ok(None) => fail(
                &lb.name,
                "HAProxy",
                format!("there is no {CONFIG_FILE}"),
                "Take this host out of the cluster, or install HAProxy there.",
            ),
            Ok(Some(file)) => section(&lb.name, expected, &String::from_utf8_lossy(&file)),
        });
    }
    facts
}

fn section(name: &str, expected: &Expected, config: &str) -> Fact {
    const NAME: &str = "HAProxy";
    let keep = "Nothing is changed there now.";
    match expected.section.apply(config) {
        Ok(same) if same == config => pass(name, NAME, "this panel's section, for these servers"),
        // Our own markers were found, or the file would be longer by a whole section.
        Ok(_) if config.contains(&format!("# BEGIN coxswain {}", expected.section.cluster)) => {
            let advice = format!("{keep} Run the load balancer's procedure to write it anew.");
            warn(
                name,
                NAME,
                "this panel's section, but for other servers",
                advice,
            )
        }
        Ok(_) => {
            let advice = format!(
                "{keep} It does not balance :6443 yet: configure it once the cluster is taken over."
            );
            warn(name, NAME, "no section for the API", advice)
        }
        Err(HaproxyError::PortTaken { line, text, .. }) => {
            let advice = format!(
                "{keep} This panel never writes into other sections: it goes on as it is, and is yours to maintain until you remove it."
            );
            warn(
                name,
                NAME,
                format!("a section of somebody else balances the API, line {line}: {text}"),
                advice,
            )
        }
        Err(
            error @ (HaproxyError::Markers(_)
            | HaproxyError::NameTaken { .. }
            | HaproxyError::NoServers),
        ) => warn(
            name,
            NAME,
            error.to_string(),
            format!("{keep} Correct the file before the panel configures it."),
        ),
    }
}
