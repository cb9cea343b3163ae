//! Emptying and removing namespaces that are being deleted.

use super::objects;
use super::world::World;
use crate::api::resources::{self, RESOURCES};
use crate::api::store::{Store, StoreError, deleting};
use crate::api::{DeleteOptions, delete};

/// Looks at all namespaces.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn look(store: &Store, world: &World) -> Result<(), StoreError> {
    for namespace in world
        .namespaces
        .iter()
        .filter(|namespace| deleting(namespace))
    {
        let name = objects::name(namespace);
        let mut left = 0;
        for resource in RESOURCES.iter().filter(|resource| resource.namespaced) {
            for object in store.list(resource, Some(name)).await?.items {
                left += 1;
                let (object, options) = (objects::name(&object), DeleteOptions::default());
                delete(store, resource, Some(name), object, &options).await?;
            }
        }
        if left == 0 {
            store.remove(resources::namespaces(), namespace).await?;
        }
    }
    Ok(())
}
