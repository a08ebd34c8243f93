//! Servers that ask the gateway before each request instead of sending it through: nginx `auth_request` and Caddy
//! `forward_auth`, configured as their users have it.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Result;
use tokio::net::TcpStream;

use crate::{World, gateway::Gateway, program::Program, upstream::Echo, wait};

/// A running front; it owns the world's public port.
#[derive(Debug)]
pub struct Front {
    _program: Program,
}

impl Front {
    /// nginx, with the snippet that oauth2-proxy's users have.
    pub async fn nginx(world: &World, gateway: &Gateway, upstream: &Echo) -> Result<Self> {
        let folder = world.folder().join("nginx");
        std::fs::create_dir_all(&folder)?;
        let config = folder.join("nginx.conf");
        std::fs::write(&config, nginx_config(&folder, world, gateway, upstream))?;
        let mut command = Command::new("nginx");
        command.arg("-e").arg("stderr").arg("-p").arg(&folder).arg("-c").arg(&config);
        Self::start("nginx", world, &mut command).await
    }

    /// Caddy, with its documented `forward_auth`.
    pub async fn caddy(world: &World, gateway: &Gateway, upstream: &Echo) -> Result<Self> {
        let config = world.folder().join("Caddyfile");
        std::fs::write(&config, caddy_config(world, gateway, upstream))?;
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&config);
        command.env("HOME", world.folder());
        Self::start("caddy", world, &mut command).await
    }

    pub(crate) async fn start(name: &str, world: &World, command: &mut Command) -> Result<Self> {
        let mut program = Program::start(name, world.folder(), command)?;
        wait::until(name, Duration::from_secs(20), async || {
            program.check_running()?;
            TcpStream::connect(("127.0.0.1", world.public_port())).await?;
            Ok(Some(()))
        })
        .await?;
        Ok(Self { _program: program })
    }
}

fn nginx_config(folder: &Path, world: &World, gateway: &Gateway, upstream: &Echo) -> String {
    let folder = folder.display();
    let (public, gateway, upstream) = (world.public_port(), gateway.port(), upstream.address());
    format!(
        "daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_buffer_size 16k;
  proxy_buffers 8 16k;
  server {{
    listen 127.0.0.1:{public};
    proxy_set_header Host $host:{public};
    proxy_set_header X-Forwarded-Host $host:{public};
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-For $remote_addr;

    location /oauth2/ {{
      proxy_pass http://127.0.0.1:{gateway};
    }}
    location = /oauth2/auth {{
      internal;
      proxy_pass http://127.0.0.1:{gateway};
      proxy_pass_request_body off;
      proxy_set_header Content-Length \"\";
      proxy_set_header Host $host:{public};
      proxy_set_header X-Forwarded-Host $host:{public};
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Uri $request_uri;
      proxy_set_header X-Forwarded-Method $request_method;
    }}
    location / {{
      auth_request /oauth2/auth;
      error_page 401 = @login;
      auth_request_set $user $upstream_http_x_auth_request_user;
      auth_request_set $name $upstream_http_x_auth_request_preferred_username;
      auth_request_set $email $upstream_http_x_auth_request_email;
      auth_request_set $groups $upstream_http_x_auth_request_groups;
      proxy_set_header X-User $user;
      proxy_set_header X-Name $name;
      proxy_set_header X-Email $email;
      proxy_set_header X-Groups $groups;
      proxy_pass http://{upstream};
    }}
    location @login {{
      return 302 /oauth2/start?rd=$request_uri;
    }}
  }}
}}
"
    )
}

fn caddy_config(world: &World, gateway: &Gateway, upstream: &Echo) -> String {
    let (public, gateway, upstream) = (world.public_port(), gateway.port(), upstream.address());
    format!(
        "{{
	admin off
	auto_https off
}}
http://localhost:{public} {{
	bind 127.0.0.1
	handle /oauth2/auth {{
		respond 404
	}}
	handle /oauth2/* {{
		reverse_proxy 127.0.0.1:{gateway}
	}}
	handle {{
		route {{
			request_header -X-User
			request_header -X-Name
			request_header -X-Email
			request_header -X-Groups
			request_header -X-Auth-Request-*
			forward_auth 127.0.0.1:{gateway} {{
				uri /oauth2/auth
				copy_headers X-Auth-Request-User>X-User X-Auth-Request-Preferred-Username>X-Name X-Auth-Request-Email>X-Email X-Auth-Request-Groups>X-Groups
				@signed_out status 401
				handle_response @signed_out {{
					redir * /oauth2/start?rd={{uri}}
				}}
			}}
			reverse_proxy {upstream}
		}}
	}}
}}
"
    )
}
