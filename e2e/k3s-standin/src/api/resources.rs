//! The kinds of objects the API knows: one row each.

/// A kind of objects.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    /// API group, empty for the core group.
    pub(crate) group: &'static str,
    /// Version served.
    pub(crate) version: &'static str,
    /// Name in paths.
    pub(crate) plural: &'static str,
    /// Singular name.
    pub(crate) singular: &'static str,
    /// Kind.
    pub(crate) kind: &'static str,
    /// Short names for kubectl.
    pub(crate) short: &'static [&'static str],
    /// Lives in a namespace.
    pub(crate) namespaced: bool,
    /// Subresources besides the object itself.
    pub(crate) subresources: &'static [&'static str],
    /// Where it lies in the database, below `/registry/`.
    pub(crate) registry: &'static str,
}

impl Resource {
    /// `apiVersion` of its objects.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Name with group as in error messages: `deployments.apps`.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// Database prefix of all its objects, or those of one namespace.
    pub(crate) fn prefix(&self, namespace: Option<&str>) -> String {
        match namespace {
            Some(namespace) if self.namespaced => {
                format!("/registry/{}/{namespace}/", self.registry)
            }
            Some(_) | None => format!("/registry/{}/", self.registry),
        }
    }

    /// Database key of one object.
    pub(crate) fn key(&self, namespace: Option<&str>, name: &str) -> String {
        format!("{}{name}", self.prefix(namespace))
    }

    /// Path of its collection, or one object, in the API.
    pub(crate) fn path(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let mut path = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if let Some(namespace) = namespace
            && self.namespaced
        {
            path.push_str(&format!("/namespaces/{namespace}"));
        }
        path.push('/');
        path.push_str(self.plural);
        if let Some(name) = name {
            path.push('/');
            path.push_str(name);
        }
        path
    }
}

const fn core(
    plural: &'static str,
    singular: &'static str,
    kind: &'static str,
    short: &'static [&'static str],
    namespaced: bool,
    registry: &'static str,
) -> Resource {
    Resource {
        group: "",
        version: "v1",
        plural,
        singular,
        kind,
        short,
        namespaced,
        subresources: &[],
        registry,
    }
}

impl Resource {
    const fn of(self, group: &'static str, version: &'static str) -> Self {
        Self {
            group,
            version,
            ..self
        }
    }

    const fn with(self, subresources: &'static [&'static str]) -> Self {
        Self {
            subresources,
            ..self
        }
    }
}

/// All kinds.
pub(crate) static RESOURCES: [Resource; 28] = [
    core(
        "namespaces",
        "namespace",
        "Namespace",
        &["ns"],
        false,
        "namespaces",
    )
    .with(&["status"]),
    core("nodes", "node", "Node", &["no"], false, "minions").with(&["status"]),
    core("pods", "pod", "Pod", &["po"], true, "pods")
        .with(&["status", "eviction", "binding", "log"]),
    core("secrets", "secret", "Secret", &[], true, "secrets"),
    core(
        "configmaps",
        "configmap",
        "ConfigMap",
        &["cm"],
        true,
        "configmaps",
    ),
    core("events", "event", "Event", &["ev"], true, "events"),
    core(
        "endpoints",
        "endpoints",
        "Endpoints",
        &["ep"],
        true,
        "services/endpoints",
    ),
    core(
        "services",
        "service",
        "Service",
        &["svc"],
        true,
        "services/specs",
    )
    .with(&["status"]),
    core(
        "serviceaccounts",
        "serviceaccount",
        "ServiceAccount",
        &["sa"],
        true,
        "serviceaccounts",
    ),
    core(
        "persistentvolumes",
        "persistentvolume",
        "PersistentVolume",
        &["pv"],
        false,
        "persistentvolumes",
    ),
    core(
        "persistentvolumeclaims",
        "persistentvolumeclaim",
        "PersistentVolumeClaim",
        &["pvc"],
        true,
        "persistentvolumeclaims",
    ),
    core(
        "replicationcontrollers",
        "replicationcontroller",
        "ReplicationController",
        &["rc"],
        true,
        "controllers",
    ),
    core(
        "deployments",
        "deployment",
        "Deployment",
        &["deploy"],
        true,
        "deployments",
    )
    .of("apps", "v1")
    .with(&["status", "scale"]),
    core(
        "replicasets",
        "replicaset",
        "ReplicaSet",
        &["rs"],
        true,
        "replicasets",
    )
    .of("apps", "v1")
    .with(&["status", "scale"]),
    core(
        "daemonsets",
        "daemonset",
        "DaemonSet",
        &["ds"],
        true,
        "daemonsets",
    )
    .of("apps", "v1")
    .with(&["status"]),
    core(
        "statefulsets",
        "statefulset",
        "StatefulSet",
        &["sts"],
        true,
        "statefulsets",
    )
    .of("apps", "v1")
    .with(&["status", "scale"]),
    core(
        "controllerrevisions",
        "controllerrevision",
        "ControllerRevision",
        &[],
        true,
        "controllerrevisions",
    )
    .of("apps", "v1"),
    core("jobs", "job", "Job", &[], true, "jobs").of("batch", "v1"),
    core("cronjobs", "cronjob", "CronJob", &["cj"], true, "cronjobs").of("batch", "v1"),
    core("leases", "lease", "Lease", &[], true, "leases").of("coordination.k8s.io", "v1"),
    core(
        "poddisruptionbudgets",
        "poddisruptionbudget",
        "PodDisruptionBudget",
        &["pdb"],
        true,
        "poddisruptionbudgets",
    )
    .of("policy", "v1")
    .with(&["status"]),
    core(
        "storageclasses",
        "storageclass",
        "StorageClass",
        &["sc"],
        false,
        "storageclasses",
    )
    .of("storage.k8s.io", "v1"),
    core(
        "volumeattachments",
        "volumeattachment",
        "VolumeAttachment",
        &[],
        false,
        "volumeattachments",
    )
    .of("storage.k8s.io", "v1"),
    core(
        "endpointslices",
        "endpointslice",
        "EndpointSlice",
        &[],
        true,
        "endpointslices",
    )
    .of("discovery.k8s.io", "v1"),
    core(
        "customresourcedefinitions",
        "customresourcedefinition",
        "CustomResourceDefinition",
        &["crd", "crds"],
        false,
        "apiextensions.k8s.io/customresourcedefinitions",
    )
    .of("apiextensions.k8s.io", "v1"),
    core(
        "addons",
        "addon",
        "Addon",
        &[],
        true,
        "k3s.cattle.io/addons",
    )
    .of("k3s.cattle.io", "v1"),
    core(
        "helmcharts",
        "helmchart",
        "HelmChart",
        &[],
        true,
        "helm.cattle.io/helmcharts",
    )
    .of("helm.cattle.io", "v1"),
    core(
        "helmchartconfigs",
        "helmchartconfig",
        "HelmChartConfig",
        &[],
        true,
        "helm.cattle.io/helmchartconfigs",
    )
    .of("helm.cattle.io", "v1"),
];

/// The kind at a path.
pub(crate) fn find(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| {
        resource.group == group && resource.version == version && resource.plural == plural
    })
}

/// The kind a person means: plural, singular, short name, kind, or any of them with a group.
pub(crate) fn named(word: &str) -> Option<&'static Resource> {
    let word = word.to_lowercase();
    RESOURCES.iter().find(|resource| {
        let name = word.split_once('.').map_or(word.as_str(), |(name, _)| name);
        let group = word.split_once('.').map_or("", |(_, group)| group);
        (name == resource.plural
            || name == resource.singular
            || name == resource.kind.to_lowercase()
            || resource.short.contains(&name))
            && (group.is_empty() || group == resource.group || group.ends_with(resource.group))
    })
}

macro_rules! by_name {
    ($($function:ident $plural:literal;)*) => { $(
        #[doc = concat!("The kind `", $plural, "`.")]
        pub(crate) fn $function() -> &'static Resource {
            RESOURCES
                .iter()
                .find(|resource| resource.plural == $plural)
                .expect("the table has this row")
        }
    )* };
}

by_name! {
    namespaces "namespaces";
    nodes "nodes";
    pods "pods";
    secrets "secrets";
    configmaps "configmaps";
    events "events";
    endpoints "endpoints";
    services "services";
    deployments "deployments";
    replicasets "replicasets";
    daemonsets "daemonsets";
    statefulsets "statefulsets";
    claims "persistentvolumeclaims";
    leases "leases";
    crds "customresourcedefinitions";
    budgets "poddisruptionbudgets";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_people_use() {
        for word in ["node", "nodes", "no", "Node"] {
            assert_eq!(named(word).map(|resource| resource.plural), Some("nodes"));
        }
        assert_eq!(
            named("deployments.apps").map(|resource| resource.kind),
            Some("Deployment")
        );
        assert!(named("nosuch").is_none());
        assert_eq!(
            leases().path(Some("kube-node-lease"), Some("n1")),
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1"
        );
    }
}
