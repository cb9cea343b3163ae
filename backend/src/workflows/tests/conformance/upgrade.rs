use super::*;
use crate::world::PodOwner;

/// One minor version below what is wanted.
fn older_lab() -> Lab {
    let lab = balanced_lab();
    for n in 1..=4 {
        lab.world.run_version(HostId(n), "v1.32.9+k3s1");
    }
    lab.world.change(HostId(3), |host| {
        let unit = "/etc/systemd/system/k3s.service";
        let odd = "'--kubelet-arg=eviction-hard=nodefs.available<1%' \\\n\t'--node-name'";
        let text = host.files[unit].replace("'--node-name'", odd);
        host.files.insert(unit.to_owned(), text);
    });
    let replicas = PodOwner::Other("ReplicaSet".to_owned());
    lab.world.pod("web", "node2", replicas, None);
    lab.world.pod("proxy", "node4", PodOwner::DaemonSet, None);
    lab
}

/// Somebody has begun: node1 is done, and node2 has the binary but was not restarted. node4 is cordoned.
fn half_done_lab() -> Lab {
    let lab = older_lab();
    lab.world.run_version(HostId(1), "v1.33.9+k3s1");
    lab.world.cordon("node4");
    lab.world.change(HostId(2), |host| {
        host.files.insert(
            "/usr/local/bin/k3s".to_owned(),
            "k3s v1.33.9+k3s1".to_owned(),
        );
    });
    lab
}

fn air_gapped_lab() -> Lab {
    let lab = older_lab();
    for n in 1..=4 {
        lab.world.change(HostId(n), |host| {
            for (path, text) in [("k3s", "k3s v1.33.5+k3s1"), ("install.sh", "#!/bin/sh")] {
                host.files
                    .insert(format!("/opt/k3s/{path}"), text.to_owned());
            }
        });
    }
    lab
}

fn upgrade(more: &[(&str, FieldValue)], lab: fn() -> Lab) -> Example {
    let mut inputs = lab::inputs(&[("cluster", FieldValue::Id(1))]);
    inputs.extend(lab::inputs(more));
    Example {
        workflow: "upgrade",
        inputs,
        inventory: lab::running_inventory(),
        lab,
        counted: false,
    }
}

fn pinned() -> Example {
    upgrade(&[("version", lab::text("v1.33.5+k3s1"))], older_lab)
}

fn by_channel() -> Example {
    upgrade(&[("channel", lab::text("v1.33"))], half_done_lab)
}

fn air_gapped() -> Example {
    upgrade(
        &[
            ("source", lab::text("air_gapped")),
            ("script_path", lab::text("/opt/k3s/install.sh")),
            ("binary_path", lab::text("/opt/k3s/k3s")),
        ],
        air_gapped_lab,
    )
}

/// The same where node1 is done, and node2 has the binary but was not restarted.
fn air_gapped_half_done() -> Example {
    let lab = || {
        let lab = air_gapped_lab();
        lab.world.run_version(HostId(1), "v1.33.5+k3s1");
        lab.world.change(HostId(2), |host| {
            host.files.insert(
                "/usr/local/bin/k3s".to_owned(),
                "k3s v1.33.5+k3s1".to_owned(),
            );
        });
        lab
    };
    Example {
        lab,
        ..air_gapped()
    }
}

// Three servers and an agent take long: each check on the example that shows the most.
conforms! {
    upgrade_pinned: pinned(),
}

survives_death! {
    upgrade_of_half_a_cluster_survives_death_at_each_point: by_channel(),
    air_gapped_upgrade_of_half_a_cluster_survives_death_at_each_point: air_gapped_half_done(),
}

#[test]
fn a_channel_is_asked_once() {
    insta::assert_json_snapshot!("upgrade_by_channel", by_channel().plan());
}

#[tokio::test(start_paused = true)]
async fn what_lies_on_the_hosts_is_used() {
    let ((world, _), _) = completes(&air_gapped()).await.unwrap();
    let versions: BTreeSet<&String> = world.clusters[0].versions.values().collect();
    assert_eq!(versions.into_iter().collect::<Vec<_>>(), ["v1.33.5+k3s1"]);
}

#[tokio::test(start_paused = true)]
async fn every_node_runs_the_new_version_and_is_told_the_same() {
    let ((world, _), _) = completes(&pinned()).await.unwrap();
    let before = older_lab().world.picture();
    let versions: BTreeSet<&String> = world.clusters[0].versions.values().collect();
    assert_eq!(versions.into_iter().collect::<Vec<_>>(), ["v1.33.5+k3s1"]);
    for (name, host) in &world.hosts {
        let units = |files: &std::collections::BTreeMap<String, String>| {
            let of_k3s = |(path, _): &(&String, &String)| path.starts_with("/etc/");
            let found = files.iter().filter(of_k3s);
            found
                .map(|(path, text)| (path.clone(), text.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            units(&host.files),
            units(&before.hosts[name].files),
            "{name}"
        );
    }
    assert!(world.clusters[0].cordoned.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_is_there_already_is_left_alone() {
    let (_, counts) = completes(&counted(by_channel())).await.unwrap();
    let (jobs, _) = counts.unwrap();
    // Of each host: place-k3s-online and restart-k3s.
    let of_host = |n: usize| (jobs[(n - 1) * 9 + 7], jobs[(n - 1) * 9 + 4]);
    assert_eq!(of_host(1), (0, 0));
    assert_eq!(of_host(2), (0, 1));
    assert_eq!(of_host(3), (1, 1));
    let ((world, _), _) = completes(&by_channel()).await.unwrap();
    assert_eq!(world.clusters[0].cordoned, ["node4"]);
}

#[tokio::test(start_paused = true)]
async fn upgrade_behind_somebody_elses_haproxy() {
    let by_hand = || {
        let lab = older_lab();
        lab.balance_by_hand();
        lab
    };
    let example = Example {
        lab: by_hand,
        ..pinned()
    };
    completes(&example).await.unwrap();
}

/// The certificate is good for the endpoint, and not for the load balancer's own address.
#[tokio::test(start_paused = true)]
async fn upgrade_where_the_certificate_does_not_name_the_balancer() {
    let mut example = Example {
        lab: || {
            let lab = older_lab();
            lab.tell(&["api.example.org"]);
            lab
        },
        ..pinned()
    };
    example.inventory.clusters[0].endpoint = "api.example.org".to_owned();
    completes(&example).await.unwrap();
}

/// Members are named after other names than their nodes have: host names were cut once.
#[tokio::test(start_paused = true)]
async fn upgrade_with_old_member_names() {
    let lab = || {
        let lab = older_lab();
        for n in 1..=3 {
            lab.world
                .name_member(HostId(n), &format!("old{n}-0123abcd"));
        }
        lab
    };
    completes(&Example { lab, ..pinned() }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_that_left_a_node_down_is_retried() {
    assert_eq!(down::comes_back(pinned()).await, 4);
}

#[tokio::test(start_paused = true)]
async fn no_server_is_upgraded_while_another_is_down() {
    assert_eq!(down::is_held_back(pinned()).await, 3);
}
