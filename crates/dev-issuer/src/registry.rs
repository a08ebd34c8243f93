//! The realm's users and clients.

use crate::client::{Credential, DevClient};
use crate::shared::Shared;
use crate::user::User;

/// Users by name and clients by id, in the order in which they were added.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    users: Shared<Vec<User>>,
    clients: Shared<Vec<DevClient>>,
}

impl Registry {
    pub(crate) fn new(users: Vec<User>, clients: Vec<DevClient>) -> Self {
        let registry = Self::default();
        users.into_iter().for_each(|user| registry.set_user(user));
        clients.into_iter().for_each(|client| registry.set_client(client));
        registry
    }

    pub(crate) fn user(&self, username: &str) -> Option<User> {
        self.users.lock().iter().find(|user| user.username == username).cloned()
    }

    pub(crate) fn client(&self, id: &str) -> Option<DevClient> {
        self.clients.lock().iter().find(|client| client.id == id).cloned()
    }

    /// The client that a trusted issuer's assertion names as `subject`.
    pub(crate) fn federated_client(&self, subject: &str) -> Option<DevClient> {
        let is_it = |client: &&DevClient| matches!(&client.credential, Credential::Federated { subject: own, .. } if own == subject);
        self.clients.lock().iter().find(is_it).cloned()
    }

    /// True if a token may be issued for this audience: a client's id, or an audience of some client.
    pub(crate) fn is_audience(&self, name: &str) -> bool {
        let clients = self.clients.lock();
        clients
            .iter()
            .any(|client| client.id == name || client.audience.iter().any(|own| own == name))
    }

    pub(crate) fn first_client(&self) -> Option<DevClient> {
        self.clients.lock().first().cloned()
    }

    pub(crate) fn users(&self) -> Vec<User> {
        self.users.lock().clone()
    }

    pub(crate) fn set_user(&self, user: User) {
        let mut users = self.users.lock();
        match users.iter_mut().find(|own| own.username == user.username) {
            Some(own) => *own = user,
            None => users.push(user),
        }
    }

    pub(crate) fn set_client(&self, client: DevClient) {
        let mut clients = self.clients.lock();
        match clients.iter_mut().find(|own| own.id == client.id) {
            Some(own) => *own = client,
            None => clients.push(client),
        }
    }
}
