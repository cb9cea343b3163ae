use super::*;

fn uninstall(hosts: &[i64]) -> Example {
    let mut inputs = lab::inputs(&[("cluster", FieldValue::Id(1))]);
    if !hosts.is_empty() {
        inputs.insert("hosts".to_owned(), FieldValue::Ids(hosts.to_vec()));
    }
    Example {
        workflow: "uninstall",
        inputs,
        inventory: lab::running_inventory(),
        lab: balanced_lab,
        counted: false,
    }
}

/// The whole cluster without these hosts, which are gone.
fn without(lost: &[i64], lab: fn() -> Lab) -> Example {
    let mut example = Example {
        lab,
        ..uninstall(&[])
    };
    let lost = FieldValue::Ids(lost.to_vec());
    example.inputs.insert("lost".to_owned(), lost);
    example
}

/// One server has no power any more.
fn without_a_server() -> Example {
    without(&[3], || {
        let lab = balanced_lab();
        lab.world.power_off(HostId(3));
        lab
    })
}

/// One server is left of three, which finds no quorum, and the load balancer is gone, too.
fn without_quorum_and_balancer() -> Example {
    without(&[2, 3, 9], || {
        let lab = lab::lab_with_one_survivor();
        lab.world.power_off(lab::LB);
        lab
    })
}

/// Nothing is left but the load balancer.
fn without_anything() -> Example {
    without(&[1, 2, 3, 4], || {
        let lab = balanced_lab();
        for host in 1..=4 {
            lab.world.power_off(HostId(host));
        }
        lab
    })
}

conforms! {
    uninstall_all: uninstall(&[]),
    uninstall_agent: uninstall(&[4]),
    uninstall_without_a_lost_server: without_a_server(),
    uninstall_without_quorum_and_balancer: without_quorum_and_balancer(),
    uninstall_without_anything_left: without_anything(),
}

survives_death! {
    uninstall_survives_death_at_each_point: uninstall(&[]),
    uninstall_of_an_agent_survives_death_at_each_point: uninstall(&[4]),
    uninstall_without_a_lost_server_survives_death_at_each_point: without_a_server(),
}

/// The disk of the lost server is as it was, and the inventory knows; nothing else is left.
#[tokio::test(start_paused = true)]
async fn of_a_lost_server_the_inventory_keeps_a_mark() {
    let example = without_a_server();
    let before = example.world().picture().0;
    let ((world, book), _) = completes(&example).await.unwrap();
    assert_eq!(world.hosts["node3"], before.hosts["node3"]);
    assert_eq!(book.unclean.keys().collect::<Vec<_>>(), [&HostId(3)]);
    let members: Vec<HostId> = book.members.iter().map(|m| m.host).collect();
    assert_eq!(members, [1, 2, 4, 9].map(HostId));
    assert_eq!((&book.token, &book.kubeconfig), (&None, &None));
    for cleaned in ["node1", "node2", "node4"] {
        assert_eq!(world.hosts[cleaned].k3s, None, "{cleaned}");
    }
    let (_, haproxy) = world.hosts["lb"].haproxy.clone().unwrap();
    assert!(!haproxy.contains("6443"), "{haproxy}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_load_balancer_leaves_the_inventory_without_a_mark() {
    let ((_, book), _) = completes(&without_quorum_and_balancer()).await.unwrap();
    let marked: Vec<&HostId> = book.unclean.keys().collect();
    assert_eq!(marked, [&HostId(2), &HostId(3)]);
    let members: Vec<HostId> = book.members.iter().map(|m| m.host).collect();
    assert_eq!(members, [1, 4].map(HostId));
}
