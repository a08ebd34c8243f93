//! Several gateways behind one public address: nginx in front gives each request to the next one.
//!
//! A request with the field `X-Replica: 1` goes to that replica; the answer's `X-Upstream` names the one that answered.

use std::{fmt::Write as _, path::Path, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    World,
    fronts::Front,
    gateway::{Gateway, Plan},
};

/// The field that chooses a replica.
pub const CHOICE: &str = "x-replica";

/// The running gateways and their load balancer.
#[derive(Debug)]
pub struct Replicas {
    gateways: Vec<Gateway>,
    front: Front,
}

impl Replicas {
    /// Starts `count` gateways by one plan, and nginx on the world's public port.
    pub async fn start(world: &World, plan: &Plan, count: usize) -> Result<Self> {
        let mut gateways = Vec::new();
        for number in 0..count {
            gateways.push(plan.replica(number)?.launch()?);
        }
        for gateway in &mut gateways {
            gateway.wait_until_ready().await?;
        }
        let front = balance(world, &gateways).await?;
        Ok(Self { gateways, front })
    }

    /// One of the gateways.
    pub fn gateway(&self, number: usize) -> Result<&Gateway> {
        self.gateways.get(number).context("no such replica")
    }

    /// The same, to kill it and start it.
    pub fn gateway_mut(&mut self, number: usize) -> Result<&mut Gateway> {
        self.gateways.get_mut(number).context("no such replica")
    }

    /// All gateways.
    pub fn gateways(&self) -> &[Gateway] {
        &self.gateways
    }

    /// Stops all in order and checks their logs; see [`Gateway::finish`].
    pub fn finish(self, people: &[String]) -> Result<()> {
        drop(self.front);
        self.gateways.into_iter().try_for_each(|gateway| gateway.finish(people))
    }
}

async fn balance(world: &World, gateways: &[Gateway]) -> Result<Front> {
    let folder = world.folder().join("balancer");
    std::fs::create_dir_all(&folder)?;
    let config = folder.join("nginx.conf");
    std::fs::write(&config, nginx_config(&folder, world.public_port(), gateways)?)?;
    let mut command = Command::new("nginx");
    command.arg("-e").arg("stderr").arg("-p").arg(&folder).arg("-c").arg(&config);
    Front::start("balancer", world, &mut command).await
}

fn nginx_config(folder: &Path, public: u16, gateways: &[Gateway]) -> Result<String> {
    let folder = folder.display();
    let (mut all, mut each, mut choices) = (String::new(), String::new(), String::new());
    for (number, gateway) in gateways.iter().enumerate() {
        let server = format!("server 127.0.0.1:{} max_fails=0;", gateway.port());
        writeln!(all, "    {server}")?;
        writeln!(each, "  upstream replica{number} {{ {server} keepalive 64; }}")?;
        writeln!(choices, "    {number} replica{number};")?;
    }
    Ok(format!(
        "daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_buffer_size 16k;
  proxy_buffers 8 16k;
  upstream all {{
{all}    keepalive 64;
  }}
{each}  map $http_x_replica $pool {{
    default all;
{choices}  }}
  map $http_upgrade $connection_upgrade {{
    default upgrade;
    '' '';
  }}
  server {{
    listen 127.0.0.1:{public} backlog=4096;
    keepalive_requests 1000000;
    location / {{
      proxy_pass http://$pool;
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 1h;
      proxy_set_header Host $host:{public};
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-Host $host:{public};
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Replica '';
      add_header X-Upstream $upstream_addr always;
    }}
  }}
}}
"
    ))
}
