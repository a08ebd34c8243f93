//! Many users of the provider in process, each with a session over the store.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevClient, DevIssuer, User};
use e2e::{
    World,
    valkey::{self, Valkey},
    visitor::Visitor,
};

use crate::stage::Stage;

const SECRET: &str = "the gateway's secret for many users";

/// Two replicas over Valkey with users `user-0`, `user-1` and so on.
pub(crate) struct People {
    pub(crate) stage: Stage,
    pub(crate) issuer: DevIssuer,
    pub(crate) valkey: Valkey,
    sign_ins: AtomicU32,
}

/// 127.1.0.0
const FIRST_ADDRESS: u32 = 0x7f01_0000;
const ADDRESSES: u32 = 60_000;

impl People {
    /// So many users, whose access tokens live for `lifetime`.
    pub(crate) async fn new(name: &str, users: usize, lifetime: Duration) -> Result<Self> {
        let world = World::new(name)?;
        let client = DevClient::confidential("gateway", SECRET)
            .audience("gateway")
            .redirect_uri(world.url("/oauth2/callback"))
            .post_logout_redirect_uri(world.url("/oauth2/signed_out"));
        let mut issuer = DevIssuer::builder().client(client.access_token_lifetime(lifetime));
        for number in 0..users {
            let name = format!("user-{number}");
            issuer = issuer.user(User::new(name.clone(), name).groups(["/lab"]));
        }
        let issuer = issuer.start("127.0.0.1:0").await?;
        let valkey = valkey::Setup::new(world.folder(), "valkey")?.with("appendfsync", "everysec");
        let valkey = valkey.start().await?;
        // Other work on the machine may hold a process up for longer than the default time of a call.
        let store = valkey.store_at(&format!("redis://{}/0", valkey.address()), ", timeout: 5s");
        let stage = Stage::with_issuer(world, issuer.url(), SECRET, &store, |plan| {
            plan.with("log: { level: warn }")
        })
        .await?;
        Ok(Self { stage, issuer, valkey, sign_ins: AtomicU32::new(0) })
    }

    /// Signs one user in, from an address that no other of the last sign-ins came from.
    pub(crate) async fn sign_in(&self, number: usize) -> Result<Visitor> {
        let count = self.sign_ins.fetch_add(1, Ordering::Relaxed);
        let visitor = Visitor::at(Ipv4Addr::from_bits(FIRST_ADDRESS + count % ADDRESSES))?;
        let start = visitor.open(&self.stage.world.url("/oauth2/start?rd=/home")).await?;
        ensure!(start.status == 302, "{} {}", start.status, start.body);
        let user = format!("user-{number}");
        let back = self.issuer.sign_in(start.location()?.as_str(), &user);
        let answer = visitor.open(&back.context("at the provider")?).await?;
        ensure!(answer.status == 302, "{} {}", answer.status, answer.body);
        Ok(visitor)
    }
}
