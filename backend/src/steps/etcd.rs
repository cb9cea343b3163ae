//! A look at etcd from one server, through its JSON gateway on the server itself (facts A, etcd).

use std::collections::BTreeSet;
use std::time::Duration;

use coxswain_engine::step::StepFailure;
use coxswain_k3s::etcd::{Member, MemberList, Status, parse_health, parse_keys};
use coxswain_wire::HostId;

use super::failure;
use super::kube::ApiHost;
use super::sections::sections;
use crate::world::{RemoteCommand, Script, World};

/// Members, health and leader; with `$1` `bootstrap` the keys of the data that servers start with, instead. k3s
/// serves the gateway on 2379, newer versions on a port of its own, 2382; on 127.0.0.1, or on ::1 where the
/// cluster's first network is IPv6 (k3s: pkg/etcd, `listenClientHTTPURLs`).
///
/// The member list is each server's own copy. It is not asked for as `linearizable`: without a quorum that hangs, and
/// then an answer is needed most. `/health` reads through the leader (etcd: `checkV3Health`, `QGET` before 3.5): asked
/// first, it says that a healthy server's list is none of old.
pub(crate) const LOOK: Script = Script {
    name: "look-at-etcd",
    text: r#"cd /var/lib/rancher/k3s/server/tls/etcd 2>/dev/null || exit 0
if command -v curl >/dev/null 2>&1; then
    ask() {
        curl -g -s -m 5 --noproxy '*' --cacert server-ca.crt --cert client.crt --key client.key ${3:+-X POST -d "$3"} "https://$1$2"
    }
elif command -v wget >/dev/null 2>&1; then
    ask() {
        wget -q -T 5 -t 1 --no-proxy -O - --ca-certificate=server-ca.crt --certificate=client.crt --private-key=client.key ${3:+--post-data="$3"} "https://$1$2"
    }
else
    echo '--- no-tool'
    exit 0
fi
either() {
    for at in 127.0.0.1:2379 127.0.0.1:2382 '[::1]:2379' '[::1]:2382'; do
        answer=$(ask "$at" "$1" "${2-}")
        case $answer in '{'*) printf '%s\n' "$answer"; return ;; esac
    done
}
if [ "${1-}" = bootstrap ]; then
    echo '--- bootstrap'
    either /v3/kv/range '{"key":"L2Jvb3RzdHJhcC8=","range_end":"L2Jvb3RzdHJhcDA=","keys_only":true}'
    exit 0
fi
echo '--- health'
either /health
echo '--- members'
either /v3/cluster/member/list '{}'
echo '--- status'
either /v3/maintenance/status '{}'
exit 0
"#,
};

/// `$1` the member's number, decimal. Only for members that never came up: k3s removes the others itself.
pub(crate) const REMOVE: Script = Script {
    name: "remove-etcd-member",
    text: r#"cd /var/lib/rancher/k3s/server/tls/etcd || exit 1
body="{\"ID\":\"$1\"}"
for at in 127.0.0.1:2379 127.0.0.1:2382 '[::1]:2379' '[::1]:2382'; do
    if command -v curl >/dev/null 2>&1; then
        answer=$(curl -g -s -m 10 --noproxy '*' --cacert server-ca.crt --cert client.crt --key client.key -X POST -d "$body" "https://$at/v3/cluster/member/remove")
    else
        answer=$(wget -q -T 10 -t 1 --no-proxy -O - --ca-certificate=server-ca.crt --certificate=client.crt --private-key=client.key --post-data="$body" "https://$at/v3/cluster/member/remove")
    fi
    case $answer in '{"header"'*) exit 0 ;; esac
done
echo "etcd answered: $answer" >&2
exit 1
"#,
};

/// Said of etcd where nothing can ask it.
const NO_TOOL: &str =
    "etcd cannot be asked: neither curl nor wget is on the host; install one of them";

/// What one server says of etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EtcdLook {
    /// All members.
    pub(crate) members: MemberList,
    /// This server's own `/health`.
    pub(crate) healthy: bool,
    /// Number of the member that leads, if this server knows one.
    pub(crate) leader: Option<u64>,
    /// Its version of etcd, if it tells.
    pub(crate) version: Option<String>,
}

impl EtcdLook {
    /// Looks. `Err` inside: etcd gave no answer, in words.
    pub(crate) async fn take(
        world: &dyn World,
        host: HostId,
    ) -> Result<Result<Self, String>, StepFailure> {
        Self::ask(world, host, RemoteCommand::script(LOOK))
            .await
            .map_err(failure::world)
    }

    /// The same, given up after `limit`, on the host too: looks at an etcd that hangs do not pile up there.
    pub(crate) async fn take_within(
        world: &dyn World,
        host: HostId,
        limit: Duration,
    ) -> crate::world::Result<Result<Self, String>> {
        Self::ask(world, host, RemoteCommand::script(LOOK).timeout(limit)).await
    }

    async fn ask(
        world: &dyn World,
        host: HostId,
        command: RemoteCommand,
    ) -> crate::world::Result<Result<Self, String>> {
        let answer = world.run(host, command.sudo()).await?.ok(LOOK.name)?;
        Ok(Self::parse(&answer.text()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let found = sections(text);
        if found.contains_key("no-tool") {
            return Err(NO_TOOL.to_owned());
        }
        let body = |name: &str| found.get(name).map(|b| b.trim()).unwrap_or_default();
        if body("members").is_empty() {
            return Err("etcd does not answer".to_owned());
        }
        let members = MemberList::parse(body("members")).map_err(|e| e.to_string())?;
        let healthy = parse_health(body("health")).unwrap_or(false);
        let status = Status::parse(body("status")).ok();
        Ok(Self {
            members,
            healthy,
            leader: status.as_ref().map(|s| s.leader).filter(|id| *id != 0),
            version: status.map(|s| s.version),
        })
    }

    /// True if a host's member is listed and votes.
    pub(crate) fn votes(&self, host: &ApiHost) -> bool {
        let mut members = self.members.members.iter();
        members.any(|m| is_of(m, host) && m.votes())
    }

    /// Members that belong to a host.
    pub(crate) fn of_host(&self, host: &ApiHost) -> Vec<u64> {
        let members = self.members.members.iter();
        members.filter(|m| is_of(m, host)).map(|m| m.id).collect()
    }

    /// Numbers of all members: two servers of one cluster have the same.
    pub(crate) fn ids(&self) -> BTreeSet<u64> {
        self.members.members.iter().map(|m| m.id).collect()
    }

    /// The members by the names of the hosts they belong to; by their own if they belong to none of these.
    pub(crate) fn names<'a>(
        &'a self,
        hosts: impl Iterator<Item = &'a ApiHost> + Clone,
    ) -> Vec<&'a str> {
        let members = self.members.members.iter();
        members.map(|m| name_of(m, hosts.clone())).collect()
    }
}

/// Whether a member belongs to a host.
pub(crate) fn is_of(member: &Member, host: &ApiHost) -> bool {
    member.is_of(&host.name, &host.address)
}

/// The name of the host that a member belongs to; its own if it belongs to none of these.
pub(crate) fn name_of<'a>(
    member: &'a Member,
    mut hosts: impl Iterator<Item = &'a ApiHost>,
) -> &'a str {
    let host = hosts.find(|host| is_of(member, host));
    host.map_or(member.node_name(), |host| &host.name)
}

/// The keys of the data that servers start with: one for each token that opens them (see
/// [`coxswain_k3s::token::Token::bootstrap_key`]). Secret. `Err` inside: etcd gave no answer, in words.
pub(crate) async fn bootstrap_keys(
    world: &dyn World,
    host: HostId,
) -> Result<Result<Vec<String>, String>, StepFailure> {
    let command = RemoteCommand::script(LOOK).arg("bootstrap").sudo();
    let answer = world
        .run(host, command)
        .await
        .and_then(|o| o.ok(LOOK.name))
        .map_err(failure::world)?;
    let text = answer.text();
    let found = sections(&text);
    if found.contains_key("no-tool") {
        return Ok(Err(NO_TOOL.to_owned()));
    }
    Ok(match found.get("bootstrap").map(|body| body.trim()) {
        None | Some("") => Err("etcd does not answer".to_owned()),
        Some(body) => parse_keys(body).map_err(|e| e.to_string()),
    })
}

/// Removes a member.
pub(crate) async fn remove_member(
    world: &dyn World,
    host: HostId,
    id: u64,
) -> Result<(), StepFailure> {
    let command = RemoteCommand::script(REMOVE).arg(id.to_string()).sudo();
    world
        .run(host, command)
        .await
        .and_then(|o| o.ok(REMOVE.name))
        .map_err(failure::world)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_members_and_health() {
        let look = EtcdLook::parse(
            "--- members\n{\"members\":[{\"ID\":\"7\",\"name\":\"node1-0123abcd\",\"peerURLs\":[\"https://10.0.0.1:2380\"]},{\"ID\":\"8\",\"peerURLs\":[\"https://10.0.0.2:2380\"],\"isLearner\":true}]}\n--- health\n{\"health\":\"true\"}\n",
        )
        .unwrap();
        let host = |n: i64, name: &str, address: &str| ApiHost {
            host: HostId(n),
            name: name.to_owned(),
            address: address.to_owned(),
        };
        let hosts = [
            host(1, "node1.example.org", "10.0.0.1"),
            host(2, "node2", "10.0.0.2"),
        ];
        assert!(look.healthy && look.votes(&hosts[0]) && !look.votes(&hosts[1]));
        assert_eq!(look.of_host(&hosts[1]), [8]);
        assert_eq!(look.of_host(&host(1, "node1", "10.0.0.9")), [7]);
        assert_eq!(look.names(hosts.iter()), ["node1.example.org", "node2"]);
        assert_eq!(look.names(hosts[1..].iter()), ["node1", "node2"]);
        assert_eq!(EtcdLook::parse(""), Err("etcd does not answer".to_owned()));
    }
}
