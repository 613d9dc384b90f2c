//! Master-slave pools among the objects of the ELB API: all of one comes and goes at once.

use std::sync::Arc;

use serde_json::Map;
use serde_json::Value as Json;

use crate::control::elb::fault::ElbFault;
use crate::control::elb::ids;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object::MASTER_SLAVE;
use crate::control::elb::object_set::ElbObjects;
use crate::control::elb::objects;
use crate::control::elb::objects::master_slave::MasterSlaveParts;
use crate::control::elb::store;
use crate::control::elb::store::ElbCreation;

/// The attributes that are given out of a group with master and slave, besides what is known of others.
pub const ATTRIBUTES: [&str; 15] = objects::master_slave::OF_POOL;

impl ElbObjects {
    /// Makes a group with its two members and its health check.
    ///
    /// # Errors
    /// It names what is wrong with the document, or what stands in the way.
    pub fn create_master_slave(
        &mut self,
        sent: &Map<String, Json>,
        creation: &ElbCreation<'_>,
    ) -> Result<(), ElbFault> {
        for (kind, more) in [(ElbKind::Pool, 1), (ElbKind::Member, 2), (ElbKind::HealthMonitor, 1)] {
            self.check_quota(kind, more)?;
        }
        let sent = store::of_project(sent, creation.project)?;
        let parts = MasterSlaveParts::new(&sent, &creation.id)?;
        self.add_part((ElbKind::Pool, creation.id.clone(), ""), parts.pool, creation)?;
        for member in parts.members {
            let id = ids::of_kind(ElbKind::Member)?;
            self.add_part((ElbKind::Member, id, &creation.id), member, creation)?;
        }
        let id = ids::of_kind(ElbKind::HealthMonitor)?;
        self.add_part((ElbKind::HealthMonitor, id, ""), parts.monitor, creation)?;
        self.settle_pool(&creation.id, creation.now)
    }

    fn add_part(
        &mut self,
        (kind, id, owner): (ElbKind, String, &str),
        mut attributes: Map<String, Json>,
        creation: &ElbCreation<'_>,
    ) -> Result<(), ElbFault> {
        attributes.insert(MASTER_SLAVE.to_owned(), Json::Bool(true));
        let part = ElbObject {
            kind,
            id,
            project: creation.project.to_owned(),
            owner: owner.to_owned(),
            created_at: creation.now.to_owned(),
            updated_at: creation.now.to_owned(),
            attributes,
        };
        objects::check(self, &part)?;
        self.objects.push(Arc::new(part));
        Ok(())
    }

    /// Deletes a group with its members and its health check; listeners that lead to it lead nowhere then.
    ///
    /// # Errors
    /// It is not there.
    pub fn delete_master_slave(&mut self, id: &str, now: &str) -> Result<(), ElbFault> {
        self.objects.retain(|object| match object.kind {
            ElbKind::Member => object.owner != id,
            ElbKind::HealthMonitor => object.text("pool_id") != id,
            _ => true,
        });
        self.delete(ElbKind::Pool, id, now)
    }
}
